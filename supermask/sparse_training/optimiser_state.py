"""Optimiser state of weights that come alive: resets what belongs to single weights, keeps what many share."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from supermask.masks import Masks
from supermask.params import Params, kernels_of, with_kernels
from supermask.trees import path_of


def restarted(optimiser: optax.GradientTransformation, state: PyTree, params: Params, keep: Masks) -> PyTree:
    """Return the optimiser's state with that of the weights outside `keep` at 0, as before their first step.

    A leaf of the state belongs to a kernel's weights if its path ends with the kernel's and its last axes are the
    kernel's. Examples are the moments of Adam, of Muon, and of any optimiser in `optax.multi_transform` or
    `optax.masked`. A leaf that many weights share, such as Adafactor's means over rows and columns, is unchanged.

    Raises ValueError if state of single weights cannot be identified, as under `optax.flatten`.
    """
    _check_own_state(optimiser, params)

    def restart(path: tuple[Any, ...], leaf: Any) -> Any:
        mask = keep.get(_layer_of(path, params))
        return leaf if mask is None or not _of_every_weight(leaf, mask) else jnp.where(mask, leaf, jnp.zeros_like(leaf))

    return jax.tree_util.tree_map_with_path(restart, state)


def _check_own_state(optimiser: optax.GradientTransformation, params: Params) -> None:
    """Raise ValueError for state that grows with the kernels but is neither a kernel's own nor smaller than it."""
    kernels = kernels_of(params)

    def init_longer(params: Params) -> PyTree:
        longer = {n: jnp.zeros([size + 1 for size in k.shape], k.dtype) for n, k in kernels_of(params).items()}
        return optimiser.init(with_kernels(params, longer))

    shapes, grown = jax.eval_shape(optimiser.init, params), jax.eval_shape(init_longer, params)
    for (path, leaf), other in zip(jax.tree_util.tree_leaves_with_path(shapes), jax.tree.leaves(grown), strict=True):
        own = kernels.get(_layer_of(path, params))
        if leaf.shape != other.shape and (own is None or not (_of_every_weight(leaf, own) or leaf.size < own.size)):
            raise ValueError(
                f"optimiser keeps state of shape {leaf.shape} at {jax.tree_util.keystr(path)}; allowed where weights "
                "come alive: optimisers whose state has a leaf for each leaf of the parameters, such as optax.sgd, "
                "adam, adafactor or muon"
            )


def _of_every_weight(leaf: Any, kernel: Any) -> bool:
    """Return whether a leaf of the state has one number per weight of the kernel, or several along leading axes."""
    return leaf.shape[max(leaf.ndim - kernel.ndim, 0) :] == kernel.shape


def _layer_of(path: tuple[Any, ...], params: Params) -> str:
    """Return the layer whose kernel, or only leaf, a path of the optimiser's state ends at; '' for none.

    'mu/hidden1/kernel' ends at the kernel of the layer 'hidden1', 'mu/block/w' at the layer 'block/w' of a pytree seen
    as layers. If two layers match, the longer name counts.
    """
    text = f"/{path_of(path)}"
    ends = (text, text.removesuffix("/kernel"))
    return max((layer for layer in params if any(end.endswith(f"/{layer}") for end in ends)), key=len, default="")
