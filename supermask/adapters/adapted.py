"""A network that is made of a `Model`: functions of its own trees of parameters and state."""

from collections.abc import Sequence
from typing import Any

import jax
from jaxtyping import PyTree

from supermask.model import Model, Network
from supermask.trees import Where, by_default, named


class Adapted(Network):
    """A network of a model. `where`, `output`: see `supermask.adapters`.

    outputs_first: whether kernels have their outputs' axis first, then that of inputs, as Equinox and PyTorch do.
    """

    own: Model
    where: Where = by_default
    output: str = "output"
    outputs_first: bool = False

    @property
    def output_layer(self) -> str:
        """The layer that puts out logits."""
        return self.output

    def prunes(self, path: str, leaf: Any) -> bool:
        """Return whether a leaf is prunable: whether `where` chooses it."""
        return self.where(path, leaf)

    def axes(self, path: str, leaf: Any) -> tuple[int, ...] | None:
        """Return the axes of places, of inputs and of outputs, in this order, where outputs are first."""
        return (*range(2, leaf.ndim), 1, 0) if self.outputs_first and leaf.ndim >= 2 else None

    def model(self) -> Model:
        """Return the model."""
        return self.own


def network_of(own: Model, where: Where | None, output: str, outputs_first: bool = False) -> Adapted:
    """Return the network of a model. Raises ValueError for a `where` that is no function."""
    if where is not None and not callable(where):
        raise ValueError(f"where is {where!r}; allowed: a function of a leaf's path and the leaf")
    return Adapted(own, by_default if where is None else where, output, outputs_first)


def by_path(tree: PyTree) -> dict[str, Any]:
    """Return a tree's arrays by path, as a plain dict; without None, which is in the place of what is no array."""
    return named(jax.tree_util.tree_flatten_with_path(tree)[0])


def rebuilt(structure: Any, paths: Sequence[str], leaves: dict[str, Any]) -> PyTree:
    """Return the tree of a structure whose leaves, in order, are those of the paths."""
    return structure.unflatten([leaves[path] for path in paths])
