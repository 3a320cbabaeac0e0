"""Supermasks in superposition: one network's weights, a mask for each task, and the task inferred from images alone.

All masks are laid over the weights at once, each with the same coefficient. The task of an unlabelled batch is the one
whose coefficient lowers the entropy of the outputs fastest: one gradient step ('one-shot' in the paper) decides among
any number of masks, because a gradient with respect to the mixed mask has those of all coefficients. Wortsman et al.
2020 (arXiv 2006.14769), section 3.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Num, PyTree

from supermask.short import short
from supermask.trees import Leaves, MaskTree, pruned_leaves

Apply = Callable[[PyTree, Any], Array]
"""(parameters, a batch of images) -> logits, of shape (images, classes)."""

TOGETHER = 64
"""Masks that are multiplied at a time: as numbers they take four bytes a weight."""


@short
@dataclass(frozen=True, eq=False)
class Superposition:
    """A network's weights under the masks of several tasks; prepared once for any number of batches.

    apply: (parameters, images) -> logits, (images, classes). It is compiled.
    weights: any pytree. masks: one per task, pytrees of its structure as `prune` returns them: boolean arrays, and None
        for leaves that all tasks share.

    Raises ValueError for no masks, for masks that do not fit the weights, or that mask other leaves than the first.
    """

    apply: Apply
    weights: PyTree
    masks: Sequence[MaskTree]

    def __post_init__(self) -> None:
        self._stacks  # noqa: B018 - raises for masks that do not fit

    def scores(self, batches: Num[Array | np.ndarray, "batches ..."]) -> Float32[np.ndarray, "batches tasks"]:
        """Return how fast each task's coefficient lowers the entropy, for several batches of one size.

        Minus the derivative of the mean entropy of the outputs, in nats, with respect to each coefficient, where all
        are 1 / tasks. The highest score tells the task.
        """
        gradients = self._gradients(self._mixed, jnp.asarray(batches))
        scores = np.zeros((len(batches), len(self.masks)), np.float32)
        for path, stack in self._stacks[1].items():
            slopes = np.asarray(gradients[path], np.float32).reshape(len(batches), -1)
            for start in range(0, len(stack), TOGETHER):
                some = stack[start : start + TOGETHER].reshape(-1, slopes.shape[1])
                scores[:, start : start + len(some)] -= slopes @ some.astype(np.float32).T
        return scores

    def infer(self, images: Num[Array | np.ndarray, "images ..."]) -> int:
        """Return the number of the task that an unlabelled batch is most likely of: the one of highest score."""
        if not len(images):
            raise ValueError("images has none; allowed: one or more")
        scores = self.scores(np.asarray(images)[None])[0]
        if not np.isfinite(scores).all():
            raise ValueError("images, weights or outputs are not finite, so that no score is highest")
        return int(np.argmax(scores))

    @cached_property
    def _stacks(self) -> tuple[Leaves, dict[str, Bool[np.ndarray, "tasks ..."]]]:
        """Return the weights taken apart, and the masks of all tasks by leaf."""
        leaves, by_path = _masks_by_path(self.weights, self.masks)
        return leaves, {path: np.stack([np.asarray(mask) for mask in own]) for path, own in by_path.items()}

    @cached_property
    def _mixed(self) -> dict[str, Float32[np.ndarray, "..."]]:
        """Return the mean of the masks: their mixture with equal coefficients."""
        return {path: stack.mean(axis=0, dtype=np.float32) for path, stack in self._stacks[1].items()}

    @cached_property
    def _gradients(self) -> Callable[..., dict[str, Array]]:
        """Compiled: gradients of the entropy of each batch's outputs with respect to the mixed mask."""
        leaves, apply = self._stacks[0], self.apply

        def entropy(mixed: dict[str, Array], images: Array) -> Float[Array, ""]:
            under = {path: jnp.asarray(leaves.all[path]) * share for path, share in mixed.items()}
            log_p = jax.nn.log_softmax(apply(leaves.with_chosen(under), images))
            return -(jnp.exp(log_p) * log_p).sum(axis=-1).mean()

        return jax.jit(lambda mixed, batches: lax.map(lambda images: jax.grad(entropy)(mixed, images), batches))


def superpose(
    weights: PyTree, masks: Sequence[MaskTree], mixture: Float[Array | np.ndarray, " tasks"] | None = None
) -> PyTree:
    """Return the weights times the sum of all masks, each times its coefficient: 1 / tasks unless told otherwise.

    masks: as for `Superposition`; leaves without a mask stay as they are. The result is differentiable with respect to
    `mixture`, of shape (tasks,). Raises ValueError as `Superposition` does, and for another number of coefficients.
    """
    leaves, by_path = _masks_by_path(weights, masks)
    shares = jnp.full(len(masks), 1 / len(masks)) if mixture is None else jnp.asarray(mixture)
    if shares.shape != (len(masks),):
        raise ValueError(f"mixture has shape {shares.shape} for {len(masks)} masks; allowed: one coefficient for each")
    mixed = {path: sum(map(jnp.multiply, shares, own)) for path, own in by_path.items()}
    return leaves.with_chosen({path: jnp.asarray(leaves.all[path]) * share for path, share in mixed.items()})


def infer_task(
    apply: Apply, weights: PyTree, masks: Sequence[MaskTree], images: Num[Array | np.ndarray, "images ..."]
) -> int:
    """Return which task's mask an unlabelled batch of images is for, by one gradient step: an index into `masks`.

    apply: (weights, images) -> logits, (images, classes). For several batches, or the scores of all tasks, make a
    `Superposition` once. Raises ValueError as it does. Wortsman et al. 2020, section 3.3, 'one-shot'.
    """
    return Superposition(apply, weights, masks).infer(images)


def _masks_by_path(weights: PyTree, masks: Sequence[MaskTree]) -> tuple[Leaves, dict[str, list[Any]]]:
    """Return the weights taken apart, and the masks of all tasks by leaf. Raises ValueError if they do not fit."""
    if not masks:
        raise ValueError("masks is empty; allowed: one mask or more, one for each task")
    taken = [pruned_leaves(weights, each) for each in masks]
    leaves, first = taken[0]
    for number, (_, own) in enumerate(taken):
        if own.keys() != first.keys():
            raise ValueError(
                f"masks[{number}] masks {', '.join(own)}; allowed: the same leaves as masks[0], {', '.join(first)}"
            )
    return leaves, {path: [own[path] for _, own in taken] for path in first}
