"""Sparse training on live weights alone: between changes of its mask, a method needs no dead weights.

A training is split at the changes of its mask. The sparse engine (`supermask.live_weights`) takes the steps between
them. XLA takes the steps before a change that need the gradient of dead weights (`Method.dense_steps`), and makes the
change itself. A network that is still too dense for the engine, as at the start of gradual pruning, takes all its steps
by XLA. Each network runs on one thread, so its bits depend on itself alone.
"""

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np

from supermask.evaluation import Examples, Scores
from supermask.intervals import Course, Stepping
from supermask.live_weights import Engine, Live, sparse_enough
from supermask.live_weights.optimisers import memories, with_memories
from supermask.masks import Masks
from supermask.population import program_text
from supermask.sparse_training.base import Method
from supermask.sparse_training.progress import Best, Moving, Progress, middle_of, observed


class Stretch(NamedTuple):
    """Steps `first` to `last` - 1, all of one kind.

    dense: whether they need the gradient of dead weights. change: whether the mask changes after them.
    """

    first: int
    last: int
    dense: bool
    change: bool


@dataclass(frozen=True, eq=False)
class OnLiveWeights:
    """Engine and compiled functions that take a method's steps.

    changes: numbers of steps after which masks change. stretch, change: `progress.stretch_of` and `change_of`, compiled
        for one network.
    """

    engine: Engine
    method: Method
    changes: frozenset[int]
    stretch: Any
    change: Any

    def stretches(self, first: int, last: int) -> list[Stretch]:
        """Split the steps `first` to `last` - 1 into stretches, in order."""
        changes, dense_steps = sorted(self.changes), self.method.dense_steps or 0
        inner = {at for change in changes for at in (change, change - dense_steps) if first < at < last}
        cuts = sorted(inner | {first, last})
        found = []
        for start, end in pairwise(cuts):
            following = bisect_left(changes, end)
            dense = following < len(changes) and changes[following] - dense_steps <= start
            found.append(Stretch(start, end, dense, end in self.changes))
        return found


def live_stepping(own: OnLiveWeights, course: Course, begun: Sequence[Progress]) -> Stepping:
    """Return the stepping of networks through a course. The population is a tuple of networks on the host."""
    place, data, engine = course.data.placement, course.data, own.engine
    middle, seen = middle_of(course.config), [_Rows(engine) for _ in begun]

    def one(index: int, moving: Moving, done: int, length: int) -> tuple[Moving, Scores | None, Masks]:
        half = moving.method.masks
        for stretch in own.stretches(done, done + length):
            batches = course.batches_of(index, stretch.first, stretch.last - stretch.first)
            if stretch.dense or not _sparse(moving.method.masks):
                moving = _dense(own, moving, batches, course.config.evaluate_every, change=stretch.change)
            else:
                live = seen[index].of(moving)
                engine.step(live, batches, stretch.first)
                moving = _moved(engine, live, moving, len(batches))
                if stretch.change:
                    moving = _on_host(own.change(moving, jax.tree.map(np.zeros_like, moving.params)))
            if stretch.last <= middle:  # masks change only at the ends of stretches
                half = moving.method.masks
        return moving, engine.validate(seen[index].of(moving)) if _sparse(moving.method.masks) else None, half

    def interval(population: tuple[Progress, ...], done: int, length: int) -> tuple[Progress, ...]:
        with ThreadPoolExecutor(len(place.devices)) as pool:
            taken = list(pool.map(lambda i: one(i, population[i].moving, done, length), range(len(population))))
        left = data.evaluate([moving.params for moving, scores, _ in taken if scores is None], data.validation)
        others = iter(left)
        return tuple(
            _seen(
                before,
                moving,
                next(others) if scores is None else scores,
                half if done < middle <= done + length else before.halfway,
            )
            for before, (moving, scores, half) in zip(population, taken, strict=True)
        )

    def text() -> str:
        moving, batches = begun[0].moving, np.zeros((1, course.config.batch_size), np.int32)
        arguments = moving, batches, (_examples(own, batches), np.int32(1), np.bool_(False))
        change = (program_text(own.change, moving, moving.params),) if own.changes else ()
        return "\n".join((engine.text(course.steps), program_text(own.stretch, *arguments), *change))

    def observe(population: tuple[Progress, ...]) -> Any:
        return place.dealt([_told(progress) for progress in population])

    return Stepping(tuple(begun), np.array(sorted(own.changes), np.int32), interval, observe, text)


class _Rows:
    """A network's rows of live weights, rebuilt only when its masks have changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._last: tuple[Masks, Live] | None = None

    def of(self, moving: Moving) -> Live:
        """Return the network in the engine's form."""
        engine, state = self._engine, moving.method
        if self._last is None or self._last[0] is not state.masks:
            masks = {layer: np.asarray(mask) for layer, mask in state.masks.items()}
            self._last = state.masks, engine.begin(moving.params, masks)
        return engine.resume(self._last[1], moving.params, memories(engine.optimiser, state.optimiser))


def _sparse(masks: Masks) -> bool:
    return sparse_enough(sum(mask.size for mask in masks.values()), _live(masks))


def _live(masks: Masks) -> int:
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())


def _moved(engine: Engine, live: Live, moving: Moving, steps: int) -> Moving:
    """Return a network after `steps` steps on live weights."""
    state = moving.method
    step: Any = np.asarray(state.step + steps, np.int32)
    optimiser = with_memories(engine.optimiser, state.optimiser, engine.memories(live), int(step))
    return moving._replace(params=engine.params(live), method=state._replace(step=step, optimiser=optimiser))


def _dense(own: OnLiveWeights, moving: Moving, batches: np.ndarray, every: int, *, change: bool) -> Moving:
    """Take steps by XLA. There are two programs: for one step, and for up to an interval's number of steps."""
    steps = len(batches)
    filled = batches if steps == 1 else np.pad(batches, ((0, every - steps), (0, 0)))
    order = np.arange(filled.size, dtype=np.int32).reshape(filled.shape)
    return _on_host(own.stretch(moving, order, (_examples(own, filled), np.int32(steps), np.bool_(change))))


def _examples(own: OnLiveWeights, batches: np.ndarray) -> Examples:
    """Return the images of some batches. They are sent with each call, which runs on one device only."""
    split, which = own.engine.data.train, batches.ravel()
    return Examples(split.images[which], split.labels[which])


def _on_host(moving: Moving) -> Moving:
    return jax.tree.map(np.asarray, moving)


def _seen(before: Progress, moving: Moving, scores: Scores, halfway: Masks) -> Progress:
    """Return the progress after an evaluation. Keeps parameters that are as sparse as requested and the best so far."""
    best, state = before.best, moving.method
    better = scores.loss < best.validation.loss or best.step < 0
    sparse = _live(state.masks) <= sum(map(int, state.kept.values()))
    kept = Best(moving.params, scores, state.step) if better and sparse else best
    return Progress(moving, scores, kept, halfway)


def _told(progress: Progress) -> tuple[Any, ...]:
    """Return one network's point of the curves: `observed`."""
    moving, validation, *_ = jax.tree.map(lambda leaf: np.asarray(leaf)[None], progress)
    return tuple(np.asarray(each)[0] for each in observed(moving, validation))
