"""Gradient descent on a population: one compiled program of steps, evaluation and the best parameters so far.

Trains weights (`training`), mask logits (`learned_masks`) and shared values (`compression.tuning`). An optimiser
updates them on batches of training data. Validation data is evaluated after every interval, and the parameters of
lowest validation loss are kept (the papers' early stopping).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Int32, PyTree

from supermask.evaluation import scaled, where_better
from supermask.intervals import Course, OnProgress, Stepping, train_in_intervals
from supermask.params import AnyArray
from supermask.population import Placement, Run, over_population, program_text
from supermask.resuming import Checkpoints
from supermask.short import short


@short
class Descent(NamedTuple):
    """State of one network's training. In a population, every leaf has one more leading axis.

    `params` are the trained values. The `loss` of the scores `validation` and `best_validation` decides what is best.
    `record` is what `Looks` have found, if there are any.
    """

    params: PyTree
    optimiser_state: PyTree
    step: Int32[AnyArray, ""]
    validation: Any  # of the last evaluation
    best_params: PyTree  # those of the lowest validation loss so far
    best_validation: Any
    best_step: Int32[AnyArray, ""]
    record: PyTree = ()

    @classmethod
    def begin(cls, params: PyTree, optimiser_state: PyTree, unseen: Any, first_step: int = 0) -> "Descent":
        """Return the state before step `first_step`, on the host. `unseen`: scores worse than any evaluation's."""
        step = np.asarray(first_step, np.int32)
        return cls(params, optimiser_state, step, unseen, params, unseen, step)


@short
class Rule(NamedTuple):
    """What a descent does, as functions of one network; `given` holds that network's constants.

    gradient: (params, given, step, images, labels) -> gradient of the loss on a batch of scaled images, and the state
        of the network after it, {} for most
    moved: (params, updates, given, state) -> the next params
    scores: (params, given, split) -> scores, with a `loss`
    """

    gradient: Callable[..., tuple[PyTree, PyTree]]
    moved: Callable[[Any, Any, Any, Any], PyTree]
    scores: Callable[[Any, Any, Any], Any]


@short
class Looks(NamedTuple):
    """Looks at the parameters after every `every` steps of an interval, and after its last.

    look: (record, params) -> the next record. It changes nothing of the training.
    """

    every: int
    look: Callable[[Any, Any], PyTree]

    def between(self, one_step: Callable[[Array, Any], Any], length: Array, moving: Any, record: PyTree) -> Any:
        """Take `length` steps; return what they leave, and the record.

        Loops within a loop: a condition in the steps' loop would copy the network at every step on CPU.
        """

        def some(index: Array, carried: tuple[Any, PyTree]) -> tuple[Any, PyTree]:
            moving, record = carried
            first = index * self.every
            moving = lax.fori_loop(first, jnp.minimum(first + self.every, length), one_step, moving)
            return moving, self.look(record, moving[0])

        return lax.fori_loop(0, (length + self.every - 1) // self.every, some, (moving, record))


def descending(
    rule: Rule,
    optimiser: optax.GradientTransformation,
    maximum: int,
    placement: Placement,
    looks: Looks | None = None,
) -> Run:
    """Compile an interval of steps with the evaluation after it. `maximum`: the largest pixel value."""

    def interval(state: Descent, own: Any, shared: Any) -> Descent:
        (given, order), (train, validation, length) = own, shared

        def one_step(index: Array, moving: tuple[PyTree, PyTree]) -> tuple[PyTree, PyTree]:
            params, optimiser_state = moving
            batch = lax.dynamic_index_in_dim(order, index, keepdims=False)
            images = scaled(train.images[batch], maximum)
            grads, after = rule.gradient(params, given, state.step + index, images, train.labels[batch])
            updates, optimiser_state = optimiser.update(grads, optimiser_state, params)
            return rule.moved(params, updates, given, after), optimiser_state

        moving, record = (state.params, state.optimiser_state), state.record
        if looks is None:
            moving = lax.fori_loop(0, length, one_step, moving)
        else:
            moving, record = looks.between(one_step, length, moving, record)
        params, optimiser_state = moving
        step, scores = state.step + length, rule.scores(params, given, validation)
        found, best = (params, scores, step), (state.best_params, state.best_validation, state.best_step)
        better = scores.loss < state.best_validation.loss
        kept = Descent(params, optimiser_state, step, scores, *where_better(better, found, best))
        return kept._replace(record=record)

    return over_population(interval, placement)


def stepping(program: Run, course: Course, starts: Sequence[Descent], given: Sequence[PyTree]) -> Stepping:
    """Return the stepping of networks by a program of `descending`. Its curves are steps and validation scores."""
    place, data = course.data.placement, course.data
    state, fixed, counts = place.stack(starts), place.stack(given), course.counts

    def arguments(done: int, length: int) -> tuple[PyTree, PyTree, Int32[Array, " devices"]]:
        return (fixed, course.batches(done, length)), (data.train, data.validation, length), counts

    return Stepping(
        state,
        fixed,
        lambda state, done, length: program(state, *arguments(done, length)),
        lambda state: (state.step, *state.validation),
        lambda: program_text(program, state, *arguments(0, 0)),
    )


def train_population(
    course: Course, steps: Stepping, checkpoints: Checkpoints | None, on_progress: OnProgress
) -> tuple[list[Descent], list[tuple[np.ndarray, ...]]]:
    """Train networks through a course. Return, on the host, the final state and the curves of each.

    The optimiser's state stays on the devices.
    """
    state, curves = train_in_intervals(course, steps, checkpoints, on_progress)
    return course.data.placement.unstack(state._replace(optimiser_state=()), len(course.orders)), curves
