"""Cost of a study: trainings, steps, floating-point operations, bytes, and hours on one machine or many.

A short training on this machine calibrates the time; everything else is counted. docs/scaling.md lists what the model
omits.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from supermask.analysis.kinds import BY_NAME
from supermask.analysis.kinds.plan import results_needed
from supermask.analysis.running.units import units
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import NETWORKS, kernels_of, parameter_count, shapes_of
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
    network, shape = NETWORKS[experiment.protocol.network], experiment.data.image_shape
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


def measure(experiment: Experiment) -> StepSeconds:
    """Measure seconds per network-step in a short training, with its evaluations but without compilation."""
    network, config, data = NETWORKS[experiment.protocol.network], experiment.training, experiment.data
    parameters = parameter_count(network, data.image_shape)
    initial = initial_of(network, 0, data.image_shape)
    steps = 10 if network.products(data.image_shape) > LARGE else 100
    one_each = place(parameters, networks=1)
    placement = one_each if one_each.one_at_a_time else place(parameters)
    trainer = Trainer(network, data, replace(config, steps=steps, evaluate_every=steps), placement)
    job = Job(initial, full_masks(kernels_of(initial)), 0)

    def seconds(networks: int, length: int) -> float:
        started = time.monotonic()
        trainer.train([replace(job, last_step=length)] * networks)
        return time.monotonic() - started

    def a_step(networks: int) -> float:
        """Return seconds per step of `networks` side by side, including the share of evaluations."""
        evaluations = min(seconds(networks, 0) for _ in range(2))
        once = evaluations * len(data.validation) / (len(data.validation) + 2 * len(data.test))
        trained = min(seconds(networks, steps) for _ in range(2))
        return max(trained - evaluations - once, 1e-9) / steps + once / config.evaluate_every

    seconds(1, steps)  # compiles
    full = a_step(placement.slots)
    return StepSeconds(full / placement.slots, full if placement.one_at_a_time else a_step(1))


LARGE = 5e6
"""Multiplications per image from which ten steps are enough for a measurement."""
