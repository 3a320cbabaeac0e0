"""Cost of a study: trainings, steps, floating-point operations, bytes, and hours on one machine or many.

A short training on this machine calibrates the time; everything else is counted. docs/scaling.md lists what the model
omits.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from supermask.analysis.kinds import BY_NAME
from supermask.analysis.kinds.plan import results_needed
from supermask.analysis.running.units import units
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.system.words import count
from supermask.datasets import Split
from supermask.evaluation import evaluation_chunk
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import parameter_count, shapes_of
from supermask.params import kernels_of
from supermask.population import place
from supermask.training import Job, Trainer

MACHINES = (1, 2, 10, 100, 1000)


@dataclass(frozen=True)
class StepSeconds:
    """Seconds per network-step on this machine: with all devices busy, and of a network that has a device to itself."""

    full: float
    alone: float


@dataclass(frozen=True)
class Price:
    """The missing results of a study, in numbers.

    results: number of results. steps: network-steps, with evaluations converted to steps of the same cost. longest:
    network-steps of the longest chain of results that depend on one another. flops: floating-point operations (a
    multiplication and an addition are two). stored: bytes.
    """

    results: int
    steps: float
    longest: float
    flops: float
    stored: float

    def seconds(self, speed: StepSeconds, machines: int) -> float:
        """Return the time on `machines` like this one, which is at least that of the longest chain."""
        return max(self.steps * speed.full / machines, self.longest * speed.alone)


def price(experiment: Experiment, study: Study, missing: Iterable[str]) -> Price:
    """Return the price of the results with those ids."""
    wanted = set(missing)
    network, shape = experiment.network, experiment.data.image_shape
    params = shapes_of(network, shape)
    forward = 2.0 * network.products(shape)
    own = [(BY_NAME[d["kind"]], d) for d, id_ in results_needed(experiment, study) if id_ in wanted]
    chains: dict[str, float] = {}  # by first id: the work of a unit and of all units that it needs
    of_unit: dict[str, float] = {}
    for unit in units(experiment, study):
        before = max((of_unit.get(id_, 0.0) for id_ in unit.needs), default=0.0)
        left = unit.work * sum(id_ in wanted for id_ in unit.ids) / len(unit.ids)
        chains[unit.ids[0]] = before + left
        of_unit |= dict.fromkeys(unit.ids, before + left)
    return Price(
        len(own),
        sum(kind.work(experiment, d) for kind, d in own),
        max(chains.values(), default=0.0),
        sum(kind.flops(experiment, d, forward) for kind, d in own),
        sum(kind.size(experiment, d, params) for kind, d in own),
    )


def measure(
    experiment: Experiment,
    tell: Callable[[str], None] = lambda doing: None,
    clock: Callable[[], float] = time.monotonic,
) -> StepSeconds:
    """Measure seconds per network-step in a short training, with its evaluations but without compilation.

    It takes `SECONDS` at most, compilation included, where one step and its compilation do not take longer. Evaluations
    are those of one chunk of images, and count as those of all. The least of several turns counts: other work on the
    machine makes some of them slower, none faster. `tell` hears what is being done.
    """
    network, data, began = experiment.network, experiment.data, clock()
    parameters = parameter_count(network, data.image_shape)
    one_each = place(parameters, networks=1)
    placement = one_each if one_each.one_at_a_time else place(parameters)
    initial = initial_of(network, 0, data.image_shape)
    job = Job(initial, full_masks(kernels_of(initial)), 0)
    chunk = evaluation_chunk(network, data.image_shape)
    few = replace(data, validation=_first(data.validation, chunk), test=_first(data.test, chunk), digest="")
    config = replace(experiment.training, steps=MOST_STEPS, evaluate_every=MOST_STEPS)
    trainer = Trainer(network, few, config, placement, recipe=experiment.protocol.recipe)

    def seconds(networks: int, steps: int) -> float:
        started = clock()
        trainer.train([replace(job, last_step=steps)] * networks)
        return clock() - started

    def a_step(networks: int, until: float) -> float:
        """Return seconds per step of `networks` side by side, including the share of evaluations."""
        tell(f"timing steps of {count(networks, 'network')}")
        evaluated = seconds(networks, 0)  # validation images once, test images twice; after steps, the former again
        once = evaluated * len(few.validation) / (len(few.validation) + 2 * len(few.test))
        step = max(seconds(networks, 1) - evaluated - once, 1e-6)
        turns: list[float] = []
        for others in reversed(range(TURNS)):
            steps = min(int(((until - clock()) / (others + 1) - evaluated - once) / step), MOST_STEPS)
            if steps > 1:
                turns.append(max(seconds(networks, steps) - evaluated - once, 1e-9) / steps)
        step = min(turns, default=step)
        return step + once * len(data.validation) / len(few.validation) / experiment.training.evaluate_every

    tell(f"compiling a step of {experiment.protocol.network}")
    seconds(1, 1)
    kinds = 1 if placement.one_at_a_time else 2
    full = a_step(placement.slots, began + SECONDS / kinds)
    return StepSeconds(full / placement.slots, full if kinds == 1 else a_step(1, began + SECONDS))


def _first(split: Split, images: int) -> Split:
    return Split(split.images[:images], split.labels[:images])


SECONDS = 15.0
"""How long measuring may take: the last training that is begun by then may take a few more."""

MOST_STEPS = 100

TURNS = 5
"""Trainings of which the fastest counts."""
