"""Flax NNX modules as networks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Key, PyTree

from supermask.adapters.adapted import Adapted, by_path, network_of, rebuilt
from supermask.model import Images
from supermask.trees import Where


class _Parts(NamedTuple):
    """What a module is beside the values of its arrays: three structures with their paths, and what draws."""

    graph: Any
    params: tuple[Any, tuple[str, ...]]
    state: tuple[Any, tuple[str, ...]]
    draws: tuple[Any, tuple[Any, ...]]


@dataclass(frozen=True)
class NNXModel:
    """A factory of NNX modules as a `Model`. A module is rebuilt from its arrays wherever it is applied."""

    make: Callable[[nnx.Rngs], nnx.Module]

    @property
    def draws(self) -> bool:
        """Whether it keeps generators of random numbers, as dropout does."""
        return bool(_parts(self.make).draws[1])

    def init(self, key: Key[Array, ""], images: Images) -> tuple[PyTree, PyTree]:
        """Make a module; return its parameters and all other variables, but for generators."""
        _, params, _, state = _split(self.make(nnx.Rngs(key)))
        kept = by_path(state)
        return by_path(params), {"state": kept} if kept else {}

    def apply(
        self, params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None, *, training: bool
    ) -> tuple[Any, PyTree]:
        """Return the module's outputs, in its mode of training or evaluation, and its variables after it."""
        parts = _parts(self.make)
        source = jax.random.key(0, impl="threefry2x32") if key is None else key
        structure, shapes = parts.draws
        generators = [_drawn(source, index, shape) for index, shape in enumerate(shapes)]
        trees = (
            rebuilt(*parts.params, params),
            structure.unflatten(generators),
            rebuilt(*parts.state, state.get("state", {})),
        )
        module = nnx.merge(parts.graph, *trees)
        module.train() if training else module.eval()
        outputs = module(images)
        return outputs, {"state": by_path(_split(module)[3])} if state else {}

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuse a factory that makes no module."""
        _parts(self.make)


def _split(module: Any) -> tuple[Any, Any, Any, Any]:
    parts: Any = nnx.split(module, nnx.Param, nnx.RngState, ...)
    return parts


def _drawn(key: Key[Array, ""], index: int, shape: Any) -> Array:
    """Return a generator's key, or its count, which begins at 0."""
    if jnp.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.fold_in(key, index), shape.shape)
    return jnp.zeros(shape.shape, shape.dtype)


@cache
def _parts(make: Callable[[nnx.Rngs], nnx.Module]) -> _Parts:
    graphs: list[Any] = []

    def made(key: Key[Array, ""]) -> tuple[Any, Any, Any]:
        module = make(nnx.Rngs(key))
        if not isinstance(module, nnx.Module):
            raise ValueError(f"make returns a {type(module).__name__}; allowed: an NNX module, given nnx.Rngs")
        graph, params, generators, state = _split(module)
        graphs.append(graph)
        return params, generators, state

    params, draws, state = jax.eval_shape(made, jax.random.key(0, impl="threefry2x32"))
    return _Parts(
        graphs[-1],
        (jax.tree.structure(params), tuple(by_path(params))),
        (jax.tree.structure(state), tuple(by_path(state))),
        (jax.tree.structure(draws), tuple(jax.tree.leaves(draws))),
    )


def of_nnx(make: Callable[[nnx.Rngs], nnx.Module], *, where: Where | None = None, output: str = "output") -> Adapted:
    """Return the network of an NNX module: `make` is its class, or a function, of `nnx.Rngs`.

    Prunable leaves are among its `nnx.Param`; all other variables are its state. Raises ValueError, when it is used,
    for a `make` that returns no module.
    """
    return network_of(NNXModel(make), where, output)
