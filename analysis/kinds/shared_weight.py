"""Curves over one value that all live weights of a stored network share (after Gaier & Ha 2019)."""

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from supermask.analysis.kinds import neural_graph, sparse_training
from supermask.analysis.kinds.base import Context, Kind, Named, evaluation_steps
from supermask.analysis.kinds.fields import TEXT, TRUTH, ColumnTypes, Parts
from supermask.analysis.kinds.neural_graph import GRAPHS
from supermask.analysis.kinds.sparse_training import SPARSE
from supermask.analysis.store.identity import Description
from supermask.analysis.store.store import Result
from supermask.analysis.studies.experiment import Experiment
from supermask.masks import Masks
from supermask.networks import Network, Params, shapes_of
from supermask.neural_graphs.runs import GraphRun
from supermask.shared_weights import VALUES, share_one_weight, typical_weight
from supermask.sparse_training.runs import SparseRun
from supermask.training import Trainer


@dataclass(frozen=True)
class SharedRun:
    """A trained network whose live weights then share each of `VALUES`, with their own signs if `signs`."""

    source: SparseRun | GraphRun
    signs: bool = False


class SharedWeights(Kind[SharedRun]):
    """Accuracy over the value of one shared weight, one result each."""

    name, plural = "shared_weight", "curves over one shared weight"
    run_types = (SharedRun,)
    required = ("shared.signs",)
    parts: ClassVar[Parts] = {"shared": {"signs": TRUTH, "of": TEXT}}
    column_types: ClassVar[ColumnTypes] = {"signs": "truth"}
    metrics = ("typical_weight", *(f"test_accuracy_at_{value:g}" for value in VALUES))

    def describe(self, experiment: Experiment, run: SharedRun, seed: int) -> Sequence[Description]:
        """Describe the trained network and the values."""
        of = _source(experiment, run, seed).description
        return (of | {"kind": self.name, "shared": {"of": of["kind"], "signs": run.signs, "values": list(VALUES)}},)

    def sources(self, run: SharedRun) -> Sequence[Hashable]:
        """Return the trained network whose weights are set to one value."""
        return (run.source,)

    def make(self, context: Context, runs: Sequence[SharedRun]) -> None:
        """Evaluate stored networks with one value for all weights, if the store lacks the result."""
        experiment = context.experiment
        by_network: dict[Network, list[tuple[SharedRun, int]]] = {}
        for run, seed in self.missing(context, ((run, seed) for run in runs for seed in experiment.seeds)):
            by_network.setdefault(_network(experiment, run), []).append((run, seed))
        for network, jobs in by_network.items():
            placement = context.placement(network, len(VALUES), len(VALUES))
            trainer = Trainer(network, experiment.data, experiment.training, placement)
            for run, seed in jobs:
                self._evaluate(context, trainer, network, run, seed)

    def _evaluate(self, context: Context, trainer: Trainer, network: Network, run: SharedRun, seed: int) -> None:
        started, experiment = time.monotonic(), context.experiment
        masks, params = _stored(context, network, run, seed)
        unit = typical_weight(params, masks)
        networks = [share_one_weight(params, masks, unit * value, signs=run.signs) for value in VALUES]
        accuracies = [float(s.accuracy) for s in trainer.evaluate([jax.tree.map(np.asarray, n) for n in networks])]
        metrics = {f"test_accuracy_at_{value:g}": each for value, each in zip(VALUES, accuracies, strict=True)}
        metrics |= {"typical_weight": unit}
        description = self.results(experiment, run, seed)[0].description
        result = Result(description, metrics, None, time.monotonic() - started)
        context.keep(self.name, [result], self.work(experiment, description))

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the trained network, and whether signs are kept."""
        own = {"signs": description["shared"]["signs"]}
        if "graph" in description:
            return own | GRAPHS.columns(description)
        return own | vars(SparseRun()) | description["sparse"]

    def uses(self, run: SharedRun) -> frozenset[str]:
        """Return no fields of its own: it depends only on its source."""
        return frozenset()

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return evaluations on the test images, one per value."""
        cost = neural_graph.image_cost_of(experiment, description) if "graph" in description else 1.0
        return cost * evaluation_steps(experiment, len(VALUES))

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of forward passes of the test images, once per value."""
        if "graph" in description:
            forward = neural_graph.forward_flops(experiment, description)
        return forward * len(VALUES) * len(experiment.data.test)


SHARED = SharedWeights()


def _source(experiment: Experiment, run: SharedRun, seed: int) -> Named:
    if isinstance(run.source, GraphRun):
        return GRAPHS.results(experiment, run.source, seed)[0]
    return SPARSE.results(experiment, run.source, seed)[0]


def _network(experiment: Experiment, run: SharedRun) -> Network:
    if isinstance(run.source, GraphRun):
        return neural_graph.network_of(experiment, run.source.setting)
    return sparse_training.network_of(experiment, run.source)


def _stored(context: Context, network: Network, run: SharedRun, seed: int) -> tuple[Masks, Params]:
    """Return the final masks and parameters of the run's network."""
    start = shapes_of(network, context.experiment.data.image_shape)
    decode = neural_graph.decode_graph if isinstance(run.source, GraphRun) else sparse_training.decode_params
    return decode(context.store.arrays(_source(context.experiment, run, seed).id), start)
