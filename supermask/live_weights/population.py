"""Trains networks on live weights alone, as many in parallel as there are devices."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from supermask.descent import Descent
from supermask.evaluation import UNSEEN, Scores
from supermask.intervals import Course, OnProgress, Stepping, train_in_intervals
from supermask.live_weights.engine import Engine, Live, State, aligned
from supermask.params import Params
from supermask.resuming import Checkpoints

Population = tuple[Descent, ...]
"""Networks in training, on the host. Each one's trained values are one array (`engine.State`) of its own length."""


def train_live(
    engine: Engine, course: Course, lives: Sequence[Live], checkpoints: Checkpoints | None, on_progress: OnProgress
) -> tuple[list[Descent], list[tuple[np.ndarray, ...]]]:
    """Train networks through a course; return each one's final state, with whole parameters, and its curves."""
    ends, curves = move_live(engine, course, lives, checkpoints, on_progress)
    whole = [
        end._replace(
            params=engine.params(live, end.params), best_params=engine.params(live, end.best_params), optimiser_state=()
        )
        for live, end in zip(lives, ends, strict=True)
    ]
    return whole, curves


def move_live(
    engine: Engine, course: Course, lives: Sequence[Live], checkpoints: Checkpoints | None, on_progress: OnProgress
) -> tuple[Population, list[tuple[np.ndarray, ...]]]:
    """Train networks through a course; return final states, with parameters as in `engine.State`, and curves."""
    return train_in_intervals(course, _stepping(engine, course, lives), checkpoints, on_progress)


def evaluate_live(engine: Engine, lives: Sequence[Live], params: Sequence[Params], threads: int) -> list[Scores]:
    """Return test loss and accuracy of networks with these parameters and the live weights of `lives`."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(engine.test, lives, params))


def _stepping(engine: Engine, course: Course, lives: Sequence[Live]) -> Stepping:
    """Return the stepping. Each network runs on one thread, so the number of threads does not change its bits."""
    place = course.data.placement

    def start(index: int) -> Descent:
        state = lives[index].state
        return Descent.begin(state.params, state.moments, UNSEEN, course.orders[index].first_step)

    def one(index: int, before: Descent, done: int, length: int) -> Descent:
        state: State = aligned(State(before.params, before.optimiser_state))  # copies, which change in place
        batches = course.batches_of(index, done, length)
        scores = engine.advance(lives[index]._replace(state=state), batches, done)
        step = np.asarray(before.step + length, np.int32)
        found, best = (state.params, scores, step), (before.best_params, before.best_validation, before.best_step)
        better = found if scores.loss < before.best_validation.loss else best
        return Descent(state.params, state.moments, step, scores, *better)

    def interval(population: Population, done: int, length: int) -> Population:
        with ThreadPoolExecutor(len(place.devices)) as pool:
            return tuple(pool.map(lambda index: one(index, population[index], done, length), range(len(lives))))

    return Stepping(
        tuple(start(index) for index in range(len(lives))),
        [(live.rows, live.start, live.codes) for live in lives],
        interval,
        lambda population: place.dealt([(each.step, *each.validation) for each in population]),
        lambda: engine.text(course.steps),
    )
