"""Sparse training: networks that are sparse from the first step to the last. Each method has a module.

from supermask.sparse_training import METHODS, Horizon

entry = METHODS["rigl"]
method = entry.make(optax.adam(1e-3), Horizon(steps=20_000, epoch=1_000), entry.config(fraction=0.2))
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from supermask.sparse_training.base import Horizon, Info, Method, State, start
from supermask.sparse_training.deep_r import DeepRConfig, deep_r
from supermask.sparse_training.densities import DISTRIBUTIONS, erk, layer_counts, uniform
from supermask.sparse_training.dnw import DNWConfig, dnw
from supermask.sparse_training.drop_and_grow import DropAndGrowConfig, rigl, set_training
from supermask.sparse_training.dsr import DSRConfig, dsr
from supermask.sparse_training.magnitude_pruning import MagnitudePruningConfig, magnitude_pruning
from supermask.sparse_training.sparse_momentum import SparseMomentumConfig, sparse_momentum
from supermask.sparse_training.static import StaticConfig, static

__all__ = [
    "DISTRIBUTIONS",
    "METHODS",
    "DNWConfig",
    "DSRConfig",
    "DeepRConfig",
    "DropAndGrowConfig",
    "Horizon",
    "Info",
    "MagnitudePruningConfig",
    "Method",
    "MethodSpec",
    "SparseMomentumConfig",
    "State",
    "StaticConfig",
    "deep_r",
    "dnw",
    "dsr",
    "erk",
    "layer_counts",
    "magnitude_pruning",
    "rigl",
    "set_training",
    "sparse_momentum",
    "start",
    "static",
    "uniform",
]


@dataclass(frozen=True)
class MethodSpec:
    """Registry entry of a method.

    make: (optimiser, horizon, configuration or None) -> the method.
    config: the class of its configuration, whose defaults are the published choices.
    exact: which number of live weights is constant: each 'layer''s, the 'total', or only the 'final' one.
    sparse_steps: whether some steps need only the gradients of live weights (`Method.dense_steps`).
    distribution: how layers share the live weights at the start, a name in `DISTRIBUTIONS`: 'uniform', as published,
        for methods that move weights between layers; 'erk' for the others, whose layers keep their numbers.
    """

    make: Callable[..., Method]
    config: type[Any]
    exact: Literal["layer", "total", "final"]
    distribution: Literal["uniform", "erk"] = "erk"
    sparse_steps: bool = True


METHODS: Mapping[str, MethodSpec] = {
    "static": MethodSpec(static, StaticConfig, "layer"),
    "set": MethodSpec(set_training, DropAndGrowConfig, "layer"),
    "rigl": MethodSpec(rigl, DropAndGrowConfig, "layer"),
    "deep_r": MethodSpec(deep_r, DeepRConfig, "layer", sparse_steps=False),
    "dsr": MethodSpec(dsr, DSRConfig, "total", "uniform"),
    "sparse_momentum": MethodSpec(sparse_momentum, SparseMomentumConfig, "total", "uniform"),
    "dnw": MethodSpec(dnw, DNWConfig, "layer", sparse_steps=False),
    "magnitude_pruning": MethodSpec(magnitude_pruning, MagnitudePruningConfig, "final"),
}
"""Methods of sparse training by name."""
