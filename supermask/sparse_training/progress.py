"""State of a sparse training, its outcome, and a method's steps as a program."""

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
from supermask.keys import Purpose, step_key
from supermask.masks import Masks
from supermask.networks import Network, with_statistics
from supermask.params import AnyArray, Params
from supermask.short import short
from supermask.sparse_training.base import LayerCounts, Method, State, inform
from supermask.training import Trained


@short
class Structure(NamedTuple):
    """Masks at the first and the last step, and their changes in between.

    live: live weights of each layer at every evaluation, layers in the order of their names.
    grown: weights that came alive in each layer from the start until then; a weight that comes alive twice counts
    twice. halfway: masks after half of the steps, rounded down; None if they were not kept. watched: result of the
    trainer's `watched` for the masks at every evaluation; None without one.
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
    """Values that steps change: parameters, the method's state, and each layer's number of weights come alive."""

    params: Params
    method: State
    grown: LayerCounts


@short
class Best(NamedTuple):
    """Parameters of lowest validation loss so far, their scores, and their step; -1 while there are none."""

    params: Params
    validation: Scores
    step: Int32[AnyArray, ""]


@short
class Progress(NamedTuple):
    """State of one network's training. In a population, every leaf has one more leading axis.

    `halfway` holds the masks after half of the steps, and the initial ones until then.
    """

    moving: Moving
    validation: Scores  # of the last evaluation
    best: Best
    halfway: Masks


def stretch_of(
    network: Network, method: Method, maximum: int, *, changes: bool, augmentation: Augmentation | None = None
) -> Callable[[Moving, Any, Any], Moving]:
    """Return a function that takes steps of a method and, on request, changes the mask after the last one.

    (moving, order, (examples, length, change)) -> moving: takes the first `length` batches of `order`. Without
    `changes` the change is not compiled, and must not be requested. Running statistics of the network are updated.
    """
    gradient = jax.grad(lambda params, *batch: training_loss(network, params, *batch), has_aux=True)
    change_mask, draws = change_of(method), network.model().draws

    def dropped(state: State) -> Array | None:
        return jax.random.fold_in(step_key(state.key, state.step), int(Purpose.DROPOUT)) if draws else None

    def images_of(state: State, images: Array) -> Array:
        if augmentation is None:
            return scaled(images, maximum)
        return scaled(augmented(step_key(state.key, state.step), images, augmentation), maximum)

    def stretch(moving: Moving, order: Any, shared: Any) -> Moving:
        train, length, change = shared

        def one_step(index: Array, last: tuple[Moving, Params]) -> tuple[Moving, Params]:
            (params, state, grown), _ = last
            batch = lax.dynamic_index_in_dim(order, index, keepdims=False)
            images = images_of(state, train.images[batch])
            grads, statistics = gradient(params, images, train.labels[batch], dropped(state))
            before = state.masks
            params, state = method.advance(state, grads, params)
            params = with_statistics(params, statistics)
            return Moving(params, state, _add_grown(grown, before, state.masks)), grads

        # The change is outside the loop, which passes it the last gradient: inside, a condition would copy the network
        # at every step.
        last = lax.fori_loop(0, length, one_step, (moving, jax.tree.map(jnp.zeros_like, moving.params)))
        if not changes:
            return last[0]
        return lax.cond(change, lambda last: change_mask(*last), lambda last: last[0], last)

    return stretch


def change_of(method: Method) -> Callable[[Moving, Params], Moving]:
    """Return a function that changes the mask after a step, by that step's gradient."""

    def change(moving: Moving, grads: Params) -> Moving:
        params, state, grown = moving
        before = state.masks
        params, state = method.rewire(state, grads, params)
        return Moving(params, state, _add_grown(grown, before, state.masks))

    return change


def _add_grown(grown: LayerCounts, before: Masks, after: Masks) -> LayerCounts:
    if before is after:  # costs nothing for methods that keep the mask
        return grown
    return jax.tree.map(jnp.add, grown, inform(before, after).grown)


def middle_of(config: TrainingConfig) -> int:
    """Return half of the steps, rounded down."""
    return config.steps // 2


def ended(progress: Progress) -> Descent:
    """Return the final state in the form of all other trainings."""
    moving, validation, best, _ = progress
    return Descent(moving.params, (), moving.method.step, validation, *best)


def observed(moving: Moving, validation: Scores) -> tuple[Array | np.ndarray, ...]:
    """Return a point of a population's curves: step, scores, and each layer's weights live and come alive so far."""
    method, grown = moving.method, moving.grown
    live = [np.asarray(jnp.sum(method.masks[n], axis=tuple(range(1, method.masks[n].ndim)))) for n in sorted(grown)]
    born = [np.asarray(grown[layer]) for layer in sorted(grown)]
    return method.step, *validation, np.stack(live, axis=-1), np.stack(born, axis=-1)
