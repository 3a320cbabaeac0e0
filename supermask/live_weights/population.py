"""Takes networks through a course on live weights alone, as many side by side as there are devices."""

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
"""Networks under way, on the host: what moves of each is one array (`engine.State`), as long as it has live weights."""


def train_live(
    engine: Engine, course: Course, lives: Sequence[Live], checkpoints: Checkpoints | None, on_progress: OnProgress
) -> tuple[list[Descent], list[tuple[np.ndarray, ...]]]:
    """Takes networks through a course and returns how each one ended, its whole parameters, and its curves."""
    ends, curves = train_in_intervals(course, _stepping(engine, course, lives), checkpoints, on_progress)
    whole = [
        end._replace(
            params=engine.params(live, end.params), best_params=engine.params(live, end.best_params), optimiser_state=()
        )
        for live, end in zip(lives, ends, strict=True)
    ]
    return whole, curves


def evaluate_live(engine: Engine, lives: Sequence[Live], params: Sequence[Params], threads: int) -> list[Scores]:
    """Loss and accuracy on test data of networks with these parameters, whose live weights are those of `lives`."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(engine.test, lives, params))


def _stepping(engine: Engine, course: Course, lives: Sequence[Live]) -> Stepping:
    """The same bits on any number of threads: each network is one thread's."""
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
        [(live.rows, live.start) for live in lives],
        interval,
        lambda population: place.dealt([(each.step, *each.validation) for each in population]),
        lambda: engine.text(course.steps),
    )
