"""What a study costs: trainings, steps, floating-point operations, bytes, and hours on one machine or on many.

Time is calibrated by a short training on this machine, the rest is counted. What the model leaves out is in
docs/scaling.md.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from analysis.kinds import BY_NAME
from analysis.kinds.plan import results_needed
from analysis.running.units import units
from analysis.studies.experiment import Experiment, Study
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import NETWORKS, kernels_of, parameter_count, shapes_of
from supermask.population import place
from supermask.training import Job, Trainer

MACHINES = (1, 2, 10, 100, 1000)


@dataclass(frozen=True)
class Speed:
    """Of training here, in seconds a network-step: of a full machine, and of a network that has a device alone."""

    full: float
    alone: float


@dataclass(frozen=True)
class Price:
    """What is missing of a study, by count.

    results: how many. steps: network-steps, evaluations at the price of what they cost. longest: those of the longest
    chain that has to be done one after another. flops: floating-point operations (a multiplication and an addition
    are two). stored: bytes.
    """

    results: int
    steps: float
    longest: float
    flops: float
    stored: float

    def seconds(self, speed: Speed, machines: int) -> float:
        """Of so many machines like this one: no less than the longest chain takes."""
        return max(self.steps * speed.full / machines, self.longest * speed.alone)


def price(experiment: Experiment, study: Study, missing: Iterable[str]) -> Price:
    """The price of the results of those ids."""
    wanted = set(missing)
    network, shape = NETWORKS[experiment.protocol.network], experiment.data.image_shape
    params = shapes_of(network, shape)
    forward = 2.0 * network.products(shape)
    own = [(BY_NAME[d["kind"]], d) for d, id_ in results_needed(experiment, study) if id_ in wanted]
    chains: dict[str, float] = {}  # by first id: a unit's work and that of what it needs
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


def measure(experiment: Experiment) -> Speed:
    """A short training here: seconds a network-step, with the evaluations that go with it; compilation left out."""
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
        """Seconds a step of so many networks side by side: one evaluation costs what it takes beside the test's two."""
        evaluations = min(seconds(networks, 0) for _ in range(2))
        once = evaluations * len(data.validation) / (len(data.validation) + 2 * len(data.test))
        trained = min(seconds(networks, steps) for _ in range(2))
        return max(trained - evaluations - once, 1e-9) / steps + once / config.evaluate_every

    seconds(1, steps)  # compiles
    full = a_step(placement.slots)
    return Speed(full / placement.slots, full if placement.one_at_a_time else a_step(1))


LARGE = 5e6
"""Multiplications an image from which on ten steps are enough to measure."""
