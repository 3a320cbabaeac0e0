"""Any network's tree of parameters and state as the toolkit's layers: {layer: {"kernel", ...}}.

A layer's name is the path of its module, "block1/conv1", and its prunable weights are its leaf 'kernel'. A module with
several prunable leaves, such as an LSTM cell, has a layer per leaf, named by the leaf's path. All other leaves keep
their names. What a network keeps as state, such as the running statistics of batch norm, are leaves as well:
`Layers.statistics` names them. So masks, criteria, stores and exports know one form of parameters only.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from supermask.params import AnyArray, Params
from supermask.trees import flattened, structure_of

Axes = Callable[[str, Any], tuple[int, ...] | None]
"""Of a prunable leaf's path and the leaf: its axes in the order of inputs and then outputs; None where they are."""

ALONE = "parameters"
"""The layer of leaves that belong to no module."""


@dataclass(frozen=True)
class Place:
    """Where a leaf goes: its layer and name there, its dtype here, and its axes in the toolkit's order, if others."""

    path: str
    layer: str
    name: str
    dtype: np.dtype
    axes: tuple[int, ...] | None = None

    def taken(self, leaf: AnyArray) -> AnyArray:
        """Return the leaf as the toolkit has it: float32, inputs before outputs."""
        own = leaf if self.axes is None else leaf.transpose(self.axes)
        return own if own.dtype == np.float32 else own.astype(np.float32)

    def given(self, leaf: AnyArray) -> AnyArray:
        """Return the leaf as the network has it."""
        own = leaf if self.axes is None else leaf.transpose(tuple(map(int, np.argsort(self.axes))))
        if self.dtype == own.dtype:
            return own
        return (jnp.asarray(own) > 0.5) if self.dtype == np.bool_ else jnp.round(own).astype(self.dtype)


@dataclass(frozen=True)
class Layers:
    """The places of all leaves of a network's parameters and of its state, in their order, and both trees' structures.

    pruned: the layers with a kernel, in the order of the network's own tree.
    """

    params: tuple[Any, tuple[Place, ...]]
    state: tuple[Any, tuple[Place, ...]]

    @property
    def statistics(self) -> Mapping[str, tuple[str, ...]]:
        """The names, by layer, of the leaves that are state."""
        found: dict[str, tuple[str, ...]] = {}
        for place in self.state[1]:
            found[place.layer] = (*found.get(place.layer, ()), place.name)
        return found

    @property
    def pruned(self) -> dict[str, str]:
        """The path of each layer's kernel, in the order of the network's tree."""
        return {place.layer: place.path for place in self.params[1] if place.name == "kernel"}

    def taken(self, params: PyTree, state: PyTree) -> Params:
        """Return a network's parameters and state as layers."""
        found: Params = {}
        for (_, places), tree in ((self.params, params), (self.state, state)):
            leaves = flattened(tree)
            for place in places:
                found.setdefault(place.layer, {})[place.name] = place.taken(leaves[place.path])
        return found

    def given(self, layers: Params) -> tuple[PyTree, PyTree]:
        """Return layers as the network's own parameters and state. Leaves that it does not have are left out.

        Raises ValueError for a leaf that is missing.
        """

        def tree(structure: Any, places: tuple[Place, ...]) -> PyTree:
            return structure.unflatten([place.given(layers[place.layer][place.name]) for place in places])

        try:
            return tree(*self.params), tree(*self.state)
        except KeyError:
            every = [place for _, places in (self.params, self.state) for place in places]
            lacking = [f"{p.layer}/{p.name}" for p in every if p.name not in layers.get(p.layer, {})]
            raise ValueError(f"params lack {', '.join(lacking)}; allowed: all leaves of the network's") from None


def layers_of(params: PyTree, state: PyTree, prunes: Callable[[str, Any], bool], axes: Axes | None = None) -> Layers:
    """Return the places of a network's leaves, given its trees or their shapes.

    state: collections by name, {} for none; the names of collections are not part of the layers'.
    prunes: of a leaf's path and the leaf, whether it is prunable. axes: see `Axes`.

    Raises ValueError for a leaf that is no array, for a parameter that is not float32, and for a name with a dot.
    """
    own, kept = flattened(params), flattened(state)
    for path, leaf in own.items():
        if getattr(leaf, "dtype", None) != np.float32:
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            raise ValueError(f"parameter {path} is {kind}; allowed: float32, and what is none belongs to the state")
    chosen = {path for path, leaf in own.items() if prunes(path, leaf)}
    a_module = Counter(path.rpartition("/")[0] for path in chosen)
    taken: set[tuple[str, str]] = set()

    def place(path: str, leaf: Any, named: str = "") -> Place:
        module, _, name = (named or path).rpartition("/")
        if path in chosen:
            layer, name = (module if module and a_module[module] == 1 else path), "kernel"
        else:
            layer, name = module or ALONE, "weight" if name == "kernel" else name
        while (layer, name) in taken:
            name += "_"
        if "." in name:
            raise ValueError(f"the network's leaf {path} has a dot in its name; allowed: names without")
        taken.add((layer, name))
        return Place(path, layer, name, np.dtype(leaf.dtype), axes(path, leaf) if axes and path in chosen else None)

    first = {path: place(path, own[path]) for path in sorted(own, key=lambda path: path not in chosen)}
    in_order = tuple(first[path] for path in own)
    return Layers(
        (structure_of(params), in_order),
        (structure_of(state), tuple(place(path, leaf, path.partition("/")[2]) for path, leaf in kept.items())),
    )
