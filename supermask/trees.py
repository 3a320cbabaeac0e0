"""Parameters as any pytree: which leaves can be pruned, and masks of the same structure.

The masks of a pytree of parameters are a pytree of its structure: a boolean array in the place of a leaf that is
pruned, True for a weight that is kept, and None in the place of one that stays dense. They go through `jax.jit`, `vmap`
and `scan` like any other pytree.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

Where = Callable[[str, Any], bool]
"""Of a leaf's path, such as 'block1/conv/kernel', and the leaf: whether it is pruned."""

MaskTree: TypeAlias = PyTree
"""A pytree of boolean arrays, and of None for leaves that stay dense."""

_DENSE = re.compile(
    r"(^|/|_)(bias|scale|gamma|beta|mean|var|embedding|embed|norm|bn|batchnorm|layernorm)([_\d]*)(/|$)", re.IGNORECASE
)
"""Names of parameters, and of their modules, that the field leaves dense: biases, normalisations and embeddings."""


def by_default(path: str, leaf: Any) -> bool:
    """Return whether a leaf is pruned by default.

    It is if it has two axes or more of floating-point numbers and its path names no bias, normalisation or embedding.
    """
    return getattr(leaf, "ndim", 0) >= 2 and jnp.issubdtype(leaf.dtype, jnp.floating) and _DENSE.search(path) is None


@dataclass(frozen=True)
class Leaves:
    """A pytree of parameters taken apart: all leaves by path, and which of them are pruned."""

    treedef: Any
    all: Mapping[str, Any]
    prunable: tuple[str, ...]

    def chosen(self, tree: PyTree) -> dict[str, Any]:
        """Return the prunable leaves of another pytree, by path. Raises ValueError if it has other paths.

        Leaves are found by path, not by the type of what holds them: Flax's optimiser passes an NNX state's arrays
        without their `nnx.Param`, and means the same leaves.
        """
        found = flattened(tree)
        if other := found.keys() ^ self.all.keys():
            shown = ", ".join(sorted(other)[:3])
            raise ValueError(f"pytrees differ: {shown} in one of them alone; allowed: pytrees of the same leaves")
        return {path: found[path] for path in self.prunable}

    def fitting(self, what: str, tree: PyTree) -> dict[str, Any]:
        """Return the same of a pytree that has a value for every weight. Raises ValueError also if shapes differ.

        what: begins the error: "score of {} has", with a leaf's path in the place of the braces.
        """
        found = self.chosen(tree)
        for path, value in found.items():
            if (shape := getattr(value, "shape", None)) != (own := self.all[path].shape):
                raise ValueError(f"{what.format(path)} shape {shape}; the weights' is {own}")
        return found

    def with_chosen(self, values: Mapping[str, Any]) -> PyTree:
        """Return the parameters with other values in place of some leaves."""
        return self.treedef.unflatten([values.get(path, leaf) for path, leaf in self.all.items()])

    def as_masks(self, masks: Mapping[str, Any]) -> MaskTree:
        """Return masks by path as a pytree of this structure, with None where there is none."""
        return self.treedef.unflatten([masks.get(path) for path in self.all])


def leaves_of(params: PyTree, where: Where | None = None) -> Leaves:
    """Take parameters apart; `where` says which leaves are pruned, by default `by_default`.

    Leaves without weights never are. Raises ValueError if no leaf is, and for a chosen one that is no array of
    floating-point numbers.
    """
    rule = by_default if where is None else where
    leaves, treedef = flattened(params), structure_of(params)
    prunable = tuple(path for path, leaf in leaves.items() if rule(path, leaf) and np.size(leaf))
    if not prunable:
        shown = ", ".join(f"{path} {getattr(leaf, 'shape', '')}" for path, leaf in leaves.items())[:400]
        allowed = "where=lambda path, leaf: ... that is true for at least one leaf"
        raise ValueError(f"where finds nothing to prune among {shown or 'no leaves'}; allowed: {allowed}")
    for path in prunable:
        if not jnp.issubdtype(getattr(leaves[path], "dtype", bool), jnp.floating):
            kind = getattr(leaves[path], "dtype", type(leaves[path]).__name__)
            raise ValueError(f"where chose {path}, which is {kind}; allowed: arrays of floating-point numbers")
    return Leaves(treedef, leaves, prunable)


def masked_leaves(params: PyTree, masks: MaskTree) -> tuple[Leaves, dict[str, Any]]:
    """Return parameters taken apart by their masks, and the masks by path.

    Raises ValueError if structures differ, and for masks that are not boolean arrays of the leaves' shapes.
    """
    found = flattened(params)
    leaves = Leaves(structure_of(params), found, tuple(found))
    by_path = {path: mask for path, mask in leaves.chosen(masks).items() if mask is not None}
    for path, mask in by_path.items():
        shape, own = getattr(leaves.all[path], "shape", None), getattr(mask, "shape", None)
        if getattr(mask, "dtype", None) != np.bool_ or own != shape:
            kind = getattr(mask, "dtype", type(mask).__name__)
            raise ValueError(f"mask of {path} is {kind} of shape {own}; allowed: bool of shape {shape}, or None")
    return Leaves(leaves.treedef, leaves.all, tuple(by_path)), by_path


def pruned_leaves(params: PyTree, masks: MaskTree) -> tuple[Leaves, dict[str, Any]]:
    """Return the same for at least one mask. Raises ValueError also if there is none."""
    leaves, own = masked_leaves(params, masks)
    if not own:
        raise ValueError("masks have no mask; allowed: at least one boolean array in the place of a leaf")
    return leaves, own


def only_kept(tree: PyTree, masks: MaskTree, dead: float) -> PyTree:
    """Return the tree with `dead` in place of pruned weights. Raises ValueError if the masks do not fit."""
    leaves, own = masked_leaves(tree, masks)
    kept = {
        path: jnp.where(mask, leaves.all[path], jnp.asarray(dead, leaves.all[path].dtype)) for path, mask in own.items()
    }
    return leaves.with_chosen(kept)


def flattened(tree: PyTree) -> dict[str, Any]:
    """Return a pytree's leaves by path; None is a leaf. Raises ValueError if two have the same path."""
    return named(jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_none)[0])


def named(leaves: Iterable[tuple[tuple[Any, ...], Any]]) -> dict[str, Any]:
    """Return leaves, each given with JAX's path, by path as text. Raises ValueError if two have the same."""
    found: dict[str, Any] = {}
    for path, leaf in leaves:
        if (text := path_of(path)) in found:
            raise ValueError(f"two leaves have the path {text!r}; allowed: names that tell all leaves apart")
        found[text] = leaf
    return found


def present(tree: PyTree) -> dict[str, Any]:
    """Return a pytree's leaves by path, except None."""
    return {path: leaf for path, leaf in flattened(tree).items() if leaf is not None}


def structure_of(tree: PyTree) -> Any:
    """Return the structure of which `flattened` has the leaves."""
    return jax.tree.structure(tree, is_leaf=_is_none)


def _is_none(leaf: Any) -> bool:
    return leaf is None


def path_of(path: tuple[Any, ...]) -> str:
    """Return a leaf's path as text: keys, indices and attributes joined by '/'.

    A wrapper such as Flax's has one attribute, `value` or `raw_value`, at the end of the path, which is left out. A
    layer of that name, such as attention's, is a key.
    """
    parts = [str(next(getattr(key, name) for name in ("key", "idx", "name") if hasattr(key, name))) for key in path]
    if path and isinstance(path[-1], jax.tree_util.GetAttrKey) and parts[-1] in ("value", "raw_value"):
        parts.pop()
    return "/".join(parts) or "parameters"
