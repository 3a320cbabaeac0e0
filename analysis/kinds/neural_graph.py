"""Neural graphs: networks as graphs of small nodes, with random wirings or discovered ones (Wortsman et al. 2019)."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, ClassVar

import jax
import numpy as np

from supermask.analysis.kinds.base import FILE_BYTES, RECORD_BYTES, Context, Kind, Made, training_flops
from supermask.analysis.kinds.fields import TEXT, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.layout import check_array, check_curves, check_mask
from supermask.analysis.kinds.metrics import CURVES, TRAINING_METRICS, training_metrics
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.system.words import count
from supermask.bits import pack, unpack
from supermask.datasets import Dataset
from supermask.intervals import TrainingConfig
from supermask.lottery import initial_of
from supermask.masks import Masks
from supermask.networks import Params, parameter_count
from supermask.neural_graphs.discovery import DISCOVER
from supermask.neural_graphs.graph import EDGES, NeuralGraph
from supermask.neural_graphs.runs import GraphRun, Pixels, augmentation_of, edges_between, graph_job, pixel_statistics
from supermask.overlaps import agreement
from supermask.sparse_training.progress import SparseTrained
from supermask.sparse_training.runs import SGD_COSINE, SGD_STEPS, sgd_cosine, sgd_in_steps
from supermask.sparse_training.trainer import SparseTrainer

MOMENTS = ("first", "halfway", "last")
OPTIMISERS = {"cosine": (SGD_COSINE, sgd_cosine), "steps": (SGD_STEPS, sgd_in_steps)}

WATCHED = 3
"""The first revision that keeps the wiring of every evaluation, and counts the edges that carry anything."""

FINEST = 100
"""The most nodes whose edges are counted one by one; larger graphs are seen as `COARSE` groups of neighbours."""
COARSE = 50


class NeuralGraphs(Kind[GraphRun]):
    """Trainings of neural graphs, one result each. They do not use the experiment's network."""

    name, plural = "neural_graph", "neural graphs"
    run_types = (GraphRun,)
    required = ("graph",)
    parts: ClassVar[Parts] = {"graph": {"setting": TEXT, "wiring": TEXT, "nodes": WHOLE, "edges": WHOLE}}
    column_types: ClassVar[ColumnTypes] = {"setting": "text", "wiring": "text", "nodes": "whole", "edges": "whole"}
    metrics = (
        *TRAINING_METRICS,
        *("live_edges", "parameters", "weights_remaining", "kept_from_start", "changes"),
    )
    has_arrays = True

    def describe(self, experiment: Experiment, run: GraphRun, seed: int) -> Sequence[Description]:
        """Describe the graph's size and setting, its wiring, and the augmentation of training images."""
        graph = graph_of(experiment, run.setting)
        own = {name: getattr(graph, name) for name in ("setting", "nodes", "edges", "inputs", "features", "side")}
        own |= {"ode_steps": graph.ode_steps} if run.setting == "continuous" else {"steps": graph.steps}
        optimiser, _ = OPTIMISERS[experiment.protocol.graph.schedule]
        base = experiment.describe(self.name, seed, training_of(experiment), optimiser)
        if experiment.protocol.graph.augment:
            how = augmentation_of(experiment.data.image_shape)
            own |= {"pad": how.pad, "flip": how.flip}  # it cuts nothing out
        return (base | {"network": "neural_graph", "graph": own | {"wiring": run.wiring}},)

    def group(self, run: GraphRun) -> str:
        """Group by setting, since each has its own program."""
        return f"graphs, {run.setting}"

    def make(self, context: Context, runs: Sequence[GraphRun]) -> None:
        """Train what the store lacks: all wirings and seeds of a setting in populations."""
        experiment = context.experiment
        missing = self.missing(context, ((run, seed) for seed in experiment.seeds for run in runs))
        for setting in dict.fromkeys(run.setting for run, _ in missing):
            every = sum(run.setting == setting for run in runs) * len(experiment.seeds)
            self._train(context, setting, [(run, seed) for run, seed in missing if run.setting == setting], every)

    def _train(self, context: Context, setting: str, jobs: Sequence[tuple[GraphRun, int]], every: int) -> None:
        experiment = context.experiment
        graph, config, shape = network_of(experiment, setting), training_of(experiment), experiment.data.image_shape
        placement = context.placement(graph, len(jobs), every)
        _, optimiser_of = OPTIMISERS[experiment.protocol.graph.schedule]
        given = (graph, experiment.data, config, placement, DISCOVER, optimiser_of(config.learning_rate, config.steps))
        augmentation = augmentation_of(shape) if experiment.protocol.graph.augment else None
        watched = edges_between(graph, group_of(graph.nodes))
        new = partial(
            SparseTrainer, *given, checkpoints=context.checkpoints, augmentation=augmentation, watched=watched
        )
        key = (self.name, graph, config, placement, experiment.protocol.graph)
        trainer = context.bench.trainer(key, new)
        told = context.steps(cost_of(experiment, self.results(experiment, *jobs[0])[0].description))
        initial = {seed: initial_of(graph, seed, shape) for seed in experiment.seeds}

        def train(some: Sequence[tuple[GraphRun, int]]) -> list[Made]:
            starts = [graph_job(graph, run.wiring, seed, initial[seed]) for run, seed in some]
            return [(metrics_of(graph, each), encode(each)) for each in trainer.train(starts, told)]

        self.make_in_populations(context, jobs, placement.slots, train)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the graph and its wiring."""
        return {name: description["graph"].get(name) for name in ("setting", "wiring", "nodes", "edges")}

    def check_arrays(self, description: Description, arrays: Mapping[str, np.ndarray]) -> None:
        """Check wirings of one size at three moments, live edges and curves."""
        length = check_curves(arrays)
        check_array(arrays, "curve.grown", "iu", (length, 1))
        if description["revision"] >= WATCHED:
            groups = -(-description["graph"]["nodes"] // group_of(description["graph"]["nodes"]))
            check_array(arrays, "curve.wiring", "iu", (length, groups, groups))
        size = check_array(arrays, f"last.{EDGES}", "u", (None,)).size
        live = [check_mask(arrays, f"{moment}.{EDGES}", 8 * size) for moment in MOMENTS]
        check_array(arrays, f"{EDGES}.kernel", "f", (live[-1],))

    def uses(self, run: GraphRun) -> frozenset[str]:
        """Return its own length."""
        return frozenset({"graph_epochs"})

    def length(self, protocol: Protocol, runs: Sequence[GraphRun]) -> str:
        """Return the epochs."""
        return f"graphs trained for {count(protocol.graph.epochs, 'epoch')}"

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return its steps, weighted by the graph's cost."""
        return cost_of(experiment, description) * float(description["steps"])

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of the graph instead of the experiment's network."""
        return training_flops(experiment, description, forward_flops(experiment, description))

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return the bytes of three wirings, live edges and all other parameters."""
        graph = graph_of(experiment, description["graph"]["setting"])
        evaluations = description["steps"] // description["evaluate_every"] + 2
        values = parameter_count(graph, experiment.data.image_shape) - graph.possible_edges + graph.edges
        groups = -(-graph.nodes // group_of(graph.nodes))
        curves = (20 + 2 * groups**2) * evaluations
        return RECORD_BYTES + FILE_BYTES + 4 * values + 3 * graph.possible_edges / 8 + curves


GRAPHS = NeuralGraphs()


def training_of(experiment: Experiment) -> TrainingConfig:
    """Return the training of neural graphs, with epochs converted to steps and one evaluation per epoch."""
    graph = experiment.protocol.graph
    an_epoch = max(len(experiment.data.train) // graph.batch_size, 1)
    return experiment.config(graph.epochs, graph.learning_rate, graph.batch_size, evaluate_every=an_epoch)


def graph_of(experiment: Experiment, setting: str) -> NeuralGraph:
    """Return the protocol's neural graph in a setting."""
    graph = experiment.protocol.graph
    size = graph.nodes, graph.edges, graph.inputs, graph.features
    return NeuralGraph(setting, *size, side=graph.side, ode_steps=graph.ode_steps, classes=experiment.data.classes)


def network_of(experiment: Experiment, setting: str) -> NeuralGraph:
    """Return the same, normalising images by the statistics of the experiment's training images."""
    mean, deviation = _pixels(experiment.data)
    graph: NeuralGraph = graph_of(experiment, setting).clone(pixel_mean=mean, pixel_deviation=deviation)
    return graph


@lru_cache(maxsize=4)
def _pixels(data: Dataset) -> tuple[Pixels, Pixels]:
    return pixel_statistics(data.train.images, data.maximum)


def group_of(nodes: int) -> int:
    """Return the number of neighbouring nodes that a picture of a wiring shows as one."""
    return 1 if nodes <= FINEST else -(-nodes // COARSE)


def forward_flops(experiment: Experiment, description: Description) -> float:
    """Return the FLOPs of one image's forward pass through the described graph."""
    return 2.0 * graph_of(experiment, description["graph"]["setting"]).products(experiment.data.image_shape)


def cost_of(experiment: Experiment, description: Description) -> float:
    """Return the cost of a step of the graph, in steps of the experiment's network in the rounds."""
    return image_cost_of(experiment, description) * experiment.step_cost(description["batch_size"])


def image_cost_of(experiment: Experiment, description: Description) -> float:
    """Return the cost of an image in the graph over that of one in the experiment's network."""
    shape = experiment.data.image_shape
    products = graph_of(experiment, description["graph"]["setting"]).products(shape)
    return products / parameter_count(experiment.network, shape)


def metrics_of(graph: NeuralGraph, outcome: SparseTrained) -> dict[str, float]:
    """Return the metrics of a neural graph: those of every training, and of its wiring.

    `carrying_edges` counts the live edges that carry anything; `parameters` live edges and everything that is neither
    an edge nor a running statistic. `kept_from_start` is the fraction of the final wiring that was live at the start,
    `changes` the number of times that an edge came alive, over the live edges.
    """
    first, last = outcome.structure.first[EDGES], outcome.structure.last[EDGES]
    live, possible = int(np.sum(last)), last.size
    params = outcome.trained.params
    statistics = sum(params[layer][name].size for layer, names in graph.statistics.items() for name in names)
    everything = sum(leaf.size for leaf in jax.tree.leaves(params)) - statistics
    return training_metrics(outcome.trained) | {
        "live_edges": float(live),
        "carrying_edges": float(np.sum(np.asarray(last) & graph.carrying())),
        "parameters": float(everything - possible + live),
        "weights_remaining": live / possible,
        "kept_from_start": agreement(first, last).kept_both / live,
        "changes": float(outcome.structure.grown[-1, 0]) / live,
    }


def encode(outcome: SparseTrained) -> dict[str, np.ndarray]:
    """Return the arrays of a neural graph: its wiring at three moments, its final parameters, and curves.

    `curve.wiring` counts the edges between groups of nodes at every evaluation: see `runs.edges_between`.
    """
    trained, structure = outcome
    arrays = {f"curve.{name}": np.asarray(getattr(trained, name)) for name in CURVES}
    arrays["curve.grown"] = structure.grown.astype(np.int64)
    if structure.watched is None:
        raise ValueError("structure has no wirings at evaluations; allowed: of a trainer that watches them")
    arrays["curve.wiring"] = structure.watched.astype(np.uint16)
    halfway = structure.last if structure.halfway is None else structure.halfway
    for moment, masks in zip(MOMENTS, (structure.first, halfway, structure.last), strict=True):
        arrays[f"{moment}.{EDGES}"] = pack(np.asarray(masks[EDGES]))
    for layer, leaves in trained.params.items():
        for name, leaf in leaves.items():
            arrays[f"{layer}.{name}"] = np.asarray(leaf)
    edges = f"{EDGES}.kernel"
    arrays[edges] = arrays[edges][np.asarray(structure.last[EDGES])]
    return arrays


def decode_wiring(arrays: Mapping[str, np.ndarray], moment: str, possible: int) -> np.ndarray:
    """Return which of the possible edges are live at a moment, one of MOMENTS."""
    return unpack(arrays[f"{moment}.{EDGES}"], (possible,))


def decode_graph(arrays: Mapping[str, np.ndarray], start: Params) -> tuple[Masks, Params]:
    """Return the final wiring and parameters; `start` gives their shapes."""
    live = decode_wiring(arrays, "last", start[EDGES]["kernel"].size)
    params: Params = {layer: {name: arrays[f"{layer}.{name}"] for name in leaves} for layer, leaves in start.items()}
    kernel = np.zeros(live.shape, np.float32)
    kernel[live] = arrays[f"{EDGES}.kernel"]
    params[EDGES] = {"kernel": kernel}
    return {EDGES: live}, params
