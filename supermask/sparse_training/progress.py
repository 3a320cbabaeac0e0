"""A sparse network under way: what steps move, what is kept of it, and the steps of a method as a program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Int, Int32

from supermask.augmentation import Augmentation, augmented
from supermask.descent import Descent
from supermask.evaluation import Scores, scaled, training_loss
from supermask.intervals import TrainingConfig
from supermask.masks import Masks
from supermask.networks import Network, with_statistics
from supermask.params import AnyArray, Params
from supermask.short import short
from supermask.sparse_training.base import LayerCounts, Method, State, inform, step_key
from supermask.training import Trained


@short
class Structure(NamedTuple):
    """Masks at the first and the last step, and what became of them in between.

    live: live weights of each layer at every evaluation, layers in the order of their names.
    grown: how many weights had come alive in each layer by then, since the start; one that comes and goes and comes
        again counts twice.
    halfway: masks after half of the steps, rounded down; None where they were not kept.
    watched: what the trainer's `watched` made of the masks at every evaluation; None without one.
    """

    first: Masks
    last: Masks
    live: Int[np.ndarray, "evaluations layers"]
    grown: Int[np.ndarray, "evaluations layers"]
    halfway: Masks | None = None
    watched: np.ndarray | None = None


@short
class SparseTrained(NamedTuple):
    """The outcome of one sparse training; arrays on the host."""

    trained: Trained
    structure: Structure


@short
class Moving(NamedTuple):
    """What steps move: parameters, the method's state, and how many weights have come alive in each layer."""

    params: Params
    method: State
    grown: LayerCounts


@short
class Best(NamedTuple):
    """The parameters of lowest validation loss so far, their scores, and the step; -1 while nothing has been kept."""

    params: Params
    validation: Scores
    step: Int32[AnyArray, ""]


@short
class Progress(NamedTuple):
    """One network under way; a population has one more axis in front of every leaf.

    `halfway` are the masks after half of the steps, those of the start until then.
    """

    moving: Moving
    validation: Scores  # of the last evaluation
    best: Best
    halfway: Masks


def stretch_of(
    network: Network, method: Method, maximum: int, *, changes: bool, augmentation: Augmentation | None = None
) -> Callable[[Moving, Any, Any], Moving]:
    """Steps of a method, and a change of the mask after the last of them where it is asked for.

    (moving, order, (examples, length, change)) -> moving: `length` of the batches in `order`, which is as long or
    longer. Without `changes` none is ever asked for, nor compiled. A network's running statistics are set.
    """
    gradient = jax.grad(lambda params, *batch: training_loss(network, params, *batch), has_aux=True)
    change_mask = change_of(method)

    def images_of(state: State, images: Array) -> Array:
        if augmentation is None:
            return scaled(images, maximum)
        return scaled(augmented(step_key(state.key, state.step), images, augmentation), maximum)

    def stretch(moving: Moving, order: Any, shared: Any) -> Moving:
        train, length, change = shared

        def one_step(index: Array, last: tuple[Moving, Params]) -> tuple[Moving, Params]:
            (params, state, grown), _ = last
            batch = lax.dynamic_index_in_dim(order, index, keepdims=False)
            grads, statistics = gradient(params, images_of(state, train.images[batch]), train.labels[batch])
            before = state.masks
            params, state = method.advance(state, grads, params)
            params = with_statistics(params, statistics)
            return Moving(params, state, _add_grown(grown, before, state.masks)), grads

        # A change stands outside the loop, to which the last gradient is handed: inside, choosing would copy the
        # network at every step.
        last = lax.fori_loop(0, length, one_step, (moving, jax.tree.map(jnp.zeros_like, moving.params)))
        if not changes:
            return last[0]
        return lax.cond(change, lambda last: change_mask(*last), lambda last: last[0], last)

    return stretch


def change_of(method: Method) -> Callable[[Moving, Params], Moving]:
    """The change of the mask after a step, by that step's gradient."""

    def change(moving: Moving, grads: Params) -> Moving:
        params, state, grown = moving
        before = state.masks
        params, state = method.rewire(state, grads, params)
        return Moving(params, state, _add_grown(grown, before, state.masks))

    return change


def _add_grown(grown: LayerCounts, before: Masks, after: Masks) -> LayerCounts:
    if before is after:  # methods that leave the mask alone cost nothing
        return grown
    return jax.tree.map(jnp.add, grown, inform(before, after).grown)


def middle_of(config: TrainingConfig) -> int:
    """Half of the steps, rounded down."""
    return config.steps // 2


def ended(progress: Progress) -> Descent:
    """The training's end, as all others have it."""
    moving, validation, best, _ = progress
    return Descent(moving.params, (), moving.method.step, validation, *best)


def observed(moving: Moving, validation: Scores) -> tuple[Array | np.ndarray, ...]:
    """What a population's curves are made of: step, scores, and each layer's weights live and come alive so far."""
    method, grown = moving.method, moving.grown
    live = [np.asarray(jnp.sum(method.masks[n], axis=tuple(range(1, method.masks[n].ndim)))) for n in sorted(grown)]
    born = [np.asarray(grown[layer]) for layer in sorted(grown)]
    return method.step, *validation, np.stack(live, axis=-1), np.stack(born, axis=-1)
