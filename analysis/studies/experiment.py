"""Experiments (a network, its data and a protocol) and studies (the runs that a figure needs).

`supermask.analysis.kinds` defines the runs.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from supermask.analysis.store.identity import REVISIONS, Description
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.studies.recipes import described
from supermask.counts import RATE_BY_DEFAULT, exact_fraction
from supermask.datasets import DATASETS, Dataset
from supermask.intervals import TrainingConfig, steps_of
from supermask.members import Member
from supermask.named_members import check_names
from supermask.networks import Kernels, Network, is_convolutional, kernels_of, parameter_count, shapes_of
from supermask.treatments import Treatment
from supermask.zoo import built_in

Run = TypeVar("Run")


@dataclass(frozen=True)
class Study:
    """The runs that a figure needs, each once, in order. Runs that they start from are not listed."""

    runs: tuple[Hashable, ...] = ()

    def of(self, run_type: type[Run]) -> tuple[Run, ...]:
        """Return the runs of a type."""
        return tuple(run for run in self.runs if isinstance(run, run_type))

    def __or__(self, other: "Study") -> "Study":
        """Return the union of both studies."""
        return Study(tuple(dict.fromkeys(self.runs + other.runs)))


@dataclass(frozen=True)
class Experiment:
    """A protocol and its data: what all results of one job have in common.

    `chosen` are the seeds to use, if not all of the protocol's. `own_network` is the network where the protocol's is
    the user's own. `other_data` is a second data set, for tickets that are found there. `described` caches results that
    were already described, so that each is described and named once: see
    `supermask.analysis.kinds.base.Kind.results`.
    """

    protocol: Protocol
    data: Dataset
    chosen: tuple[int, ...] | None = None
    own_network: Network | None = None
    other_data: Dataset | None = None
    described: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def seeds(self) -> Sequence[int]:
        """0 to n - 1, or the chosen ones."""
        return range(self.protocol.seeds) if self.chosen is None else self.chosen

    @cached_property
    def there(self) -> "Experiment":
        """The same experiment on the other data set, from the same initial weights.

        Raises ValueError if there is none, if it is the same, or if its images or classes are not like the first's.
        """
        if self.other_data is None:
            raise ValueError("other_data is None; allowed: a data set, where tickets of another one are asked for")
        first, second = (f"{each.name}, {_content(each)}" for each in (self.data, self.other_data))
        if self.data.digest == self.other_data.digest:
            raise ValueError(f"other_data is {second}, the same as the first; allowed: another one")
        if _content(self.data) != _content(self.other_data):
            raise ValueError(f"other_data is {second}; allowed: one like {first}")
        return replace(self, data=self.other_data, other_data=None)

    @property
    def network(self) -> Network:
        """The protocol's network, with an output for each of the data's classes."""
        return self.own_network or built_in(self.protocol.network, self.data.classes)

    @property
    def parameters(self) -> int:
        """Number of the network's weights and biases."""
        return parameter_count(self.network, self.data.image_shape)

    @property
    def training(self) -> TrainingConfig:
        """Training of each network of the rounds, with epochs converted to steps on this data set."""
        return self.by_recipe(self.protocol.epochs)

    def by_recipe(self, epochs: float) -> TrainingConfig:
        """Return a training of that many epochs at the recipe's learning rate and batch size, else the protocol's."""
        recipe = self.protocol.recipe
        return self.config(epochs, recipe.learning_rate or self.protocol.learning_rate, recipe.batch_size)

    def treated(self, treatment: Treatment) -> Treatment:
        """Return a treatment as the protocol has it: where that ranks globally, weights of all layers compete."""
        return replace(treatment, ranking="global") if self.protocol.ranking == "global" else treatment

    def config(
        self, epochs: float, learning_rate: float, batch_size: int | None = None, evaluate_every: int | None = None
    ) -> TrainingConfig:
        """Return a training of that many epochs of this data set; the batch size is the protocol's by default."""
        size = batch_size or self.protocol.batch_size
        steps = steps_of(epochs, len(self.data.train), size)
        return TrainingConfig(steps, learning_rate, size, evaluate_every or self.protocol.evaluate_every)

    def step_cost(self, batch_size: int) -> float:
        """Return the cost of a step on batches of that size, in steps of the rounds."""
        return batch_size / self.training.batch_size

    def describe(
        self, kind: str, seed: int, training: TrainingConfig | None = None, optimiser: str = ""
    ) -> Description:
        """Return the common beginning of every result's description; `training` defaults to that of the rounds.

        optimiser: the words for that of a kind which does not train by the protocol's recipe; '' for one that does.
        """
        training, recipe = training or self.training, self.protocol.recipe
        return {
            "revision": REVISIONS.get(kind, 1),
            "kind": kind,
            "dataset": self.data.name,
            "data_digest": self.data.digest,
            **_unpublished(self.data),
            "network": self.protocol.network,
            **({"network_digest": self.protocol.network_digest} if self.protocol.network_digest else {}),
            "optimiser": optimiser or recipe.optimiser,
            "learning_rate": training.learning_rate,
            "batch_size": training.batch_size,
            "steps": training.steps,
            "evaluate_every": training.evaluate_every,
            "seed": seed,
            **({} if optimiser else described(recipe, self.data)),
        }


def _content(data: Dataset) -> str:
    """Return what images and classes a data set has, in words."""
    return f"images of {'×'.join(map(str, data.image_shape))} in {data.dtype} and {data.classes} classes"


def _unpublished(data: Dataset) -> Description:
    """Return images' shape and number of classes, unless the data set's name tells them, as a published one's does."""
    published = DATASETS.get(data.name)
    if published is not None and (data.image_shape, data.classes) == (published.image_shape, published.classes):
        return {}
    return {"image_shape": list(data.image_shape), "classes": data.classes}


def dense_kernels(experiment: Experiment) -> Kernels | None:
    """Return the shapes of all kernels where pruned networks may be trained on live weights alone; else None.

    For descriptions, which tell such trainings by their revision wherever they are made: elsewhere results are the same
    but for rounding. Networks with convolutions are never trained so, and their shapes are not asked for; nor is any
    network on images of float32.
    """
    network = experiment.network
    if not network.dense_layers or experiment.data.dtype != np.uint8:
        return None
    return kernels_of(shapes_of(network, experiment.data.image_shape))


def choices_of(run: Any) -> dict[str, Any]:
    """Return the fields of a run, as in descriptions and tables: criteria and actions by their names."""
    values = {f.name: getattr(run, f.name) for f in fields(run)}
    return {name: value.name if isinstance(value, Member) else value for name, value in values.items()}


def without_defaults(run: Any) -> dict[str, Any]:
    """Return the fields of a run that differ from their defaults, as in descriptions.

    Descriptions omit defaults, so that a new field does not rename old results.
    """
    choices = choices_of(run)
    return {f.name: choices[f.name] for f in fields(run) if getattr(run, f.name) != f.default}


def plugins_of(*members: Member) -> dict[str, dict[str, str]]:
    """Return the identities of user-defined criteria and actions: the digest of a file or of code, or a version.

    Raises MemberError for a name of the toolkit's own, or one that two of them have: results would be confused.
    """
    own = [member for member in dict.fromkeys(members) if member.source]
    check_names(*own)
    return {"plugins": dict(sorted((member.name, member.source) for member in own))} if own else {}


def own_members_of(study: Study) -> tuple[Member, ...]:
    """Return the user-defined criteria and actions of a study's runs, each once."""
    values = (getattr(run, each.name) for run in study.runs for each in fields(run))  # type: ignore[arg-type]
    return tuple(dict.fromkeys(value for value in values if isinstance(value, Member) and value.source))


def rates_of(experiment: Experiment) -> Description:
    """Return the pruning rates of the network's kinds of layers, in the form of descriptions.

    A kind that has another's rate by default is there where it has layers and a rate of its own.
    """
    rates = experiment.protocol.rates
    has_conv = is_convolutional(experiment.network, experiment.data.image_shape)
    convolutional = {"conv": rates.conv} if has_conv else {}
    own = convolutional | {"dense": rates.dense, "output": rates.output}
    apart = [kind for kind, other in RATE_BY_DEFAULT.items() if rates.of(kind) != rates.of(other)]
    if apart:
        kinds = set(experiment.network.layer_kinds(experiment.data.image_shape).values())
        own |= {kind: rates.of(kind) for kind in apart if kind in kinds}
    return {"rates": own} | counts_of(own)


def rates_by_layer(experiment: Experiment) -> dict[str, float]:
    """Return the pruning rate of each of the network's layers."""
    return experiment.protocol.rates.by_layer(experiment.network.layer_kinds(experiment.data.image_shape))


def counts_of(rates: Mapping[str, float]) -> dict[str, str]:
    """Mark results that once had other counts: rates were read as fractions of denominators up to 46,340."""
    changed = any(exact_fraction(rate) != Fraction(rate).limit_denominator(46_340) for rate in rates.values())
    return {"counts": "exact"} if changed else {}
