"""Neural graphs, and curves over one shared weight, that the store lacks."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

import jax
import numpy as np

from analysis.metrics import training_metrics
from analysis.provenance import provenance
from analysis.sparse_runs import CURVES, decode_params, network_of
from analysis.store import Result, Storage
from analysis.studies import Experiment, identity
from analysis.work import Done, Watcher, missing_runs, steps_teller
from analysis.workbench import Workbench
from supermask.lottery import initial_of
from supermask.masks import Masks, agreement, pack, unpack
from supermask.networks import Network, Params, parameter_count, shapes_of
from supermask.neural_graphs.discovery import DISCOVER
from supermask.neural_graphs.graph import EDGES
from supermask.neural_graphs.runs import GraphRun, graph_job
from supermask.population import batched, place
from supermask.shared_weights import VALUES, SharedRun, share_one_weight, typical_weight
from supermask.sparse_training.runs import sgd_cosine
from supermask.sparse_training.trainer import SparseTrained, SparseTrainer
from supermask.training import Trainer

MOMENTS = ("first", "halfway", "last")


def run_graphs(
    experiment: Experiment, runs: Sequence[GraphRun], store: Storage, watch: Watcher, bench: Workbench | None = None
) -> None:
    """Trains what the store lacks: all wirings and seeds of a setting in populations, each stored as it is done."""
    missing = missing_runs(store, experiment.describe_graph, ((run, seed) for seed in experiment.seeds for run in runs))
    bench = bench or Workbench()
    for setting in dict.fromkeys(run.setting for run, _ in missing):
        jobs = [(run, seed) for run, seed in missing if run.setting == setting]
        graph, config, shape = experiment.graph_of(setting), experiment.graph_training, experiment.data.image_shape
        placement = place(parameter_count(graph, shape), networks=bench.slots(len(jobs)))
        optimiser = sgd_cosine(config.learning_rate, config.steps)
        make = partial(SparseTrainer, graph, experiment.data, config, placement, DISCOVER, optimiser)
        trainer = bench.trainer(("graphs", graph, config, placement), make)
        cost = experiment.work_of(experiment.describe_graph(*jobs[0])) / max(config.steps, 1)
        initial = {seed: initial_of(graph, seed, shape) for seed in experiment.seeds}
        for some in batched(jobs, placement.slots):
            started = time.monotonic()
            trained = trainer.train(
                [graph_job(graph, run.wiring, seed, initial[seed]) for run, seed in some],
                steps_teller(watch, cost),
            )
            seconds = (time.monotonic() - started) / len(some)
            results = [
                Result(experiment.describe_graph(*job), graph_metrics(outcome), encode_graph(outcome), seconds)
                for job, outcome in zip(some, trained, strict=True)
            ]
            store.add(results, provenance())
            watch(Done(kind="neural_graph", results=len(some)))


def graph_metrics(outcome: SparseTrained) -> dict[str, float]:
    """The metrics of a neural graph: those of every training; its parameters; how much of its wiring stayed.

    `parameters` counts live edges and everything that is not an edge. `kept_from_start` is the fraction of the final
    wiring that was live at the start, `changes` how often an edge came alive, over the live edges.
    """
    first, last = outcome.structure.first[EDGES], outcome.structure.last[EDGES]
    live, possible = int(np.sum(last)), last.size
    everything = sum(leaf.size for leaf in jax.tree.leaves(outcome.trained.params))
    return training_metrics(outcome.trained) | {
        "live_edges": float(live),
        "parameters": float(everything - possible + live),
        "weights_remaining": live / possible,
        "kept_from_start": agreement(first, last).kept_both / live,
        "changes": float(outcome.structure.grown[-1, 0]) / live,
    }


def encode_graph(outcome: SparseTrained) -> dict[str, np.ndarray]:
    """The arrays of a neural graph: its wiring at three moments, its final parameters, and curves."""
    trained, structure = outcome
    arrays = {f"curve.{name}": np.asarray(getattr(trained, name)) for name in CURVES}
    arrays["curve.grown"] = structure.grown.astype(np.int64)
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
    """Which of the possible edges are live at a moment, one of MOMENTS."""
    return unpack(arrays[f"{moment}.{EDGES}"], (possible,))


def decode_graph(arrays: Mapping[str, np.ndarray], start: Params) -> tuple[Masks, Params]:
    """The final wiring and parameters; `start` gives their shapes."""
    live = decode_wiring(arrays, "last", start[EDGES]["kernel"].size)
    params: Params = {layer: {name: arrays[f"{layer}.{name}"] for name in leaves} for layer, leaves in start.items()}
    kernel = np.zeros(live.shape, np.float32)
    kernel[live] = arrays[f"{EDGES}.kernel"]
    params[EDGES] = {"kernel": kernel}
    return {EDGES: live}, params


def run_shared(experiment: Experiment, runs: Sequence[SharedRun], store: Storage, watch: Watcher) -> None:
    """Evaluates stored networks with one value for all weights, as far as the store lacks it."""
    every = ((run, seed) for run in runs for seed in experiment.seeds)
    shape = experiment.data.image_shape
    by_network: dict[Network, list[tuple[SharedRun, int]]] = {}
    for run, seed in missing_runs(store, experiment.describe_shared, every):
        source = run.source
        own = experiment.graph_of(source.setting) if isinstance(source, GraphRun) else network_of(experiment, source)
        by_network.setdefault(own, []).append((run, seed))
    for network, jobs in by_network.items():
        placement = place(parameter_count(network, shape), networks=len(VALUES))
        trainer = Trainer(network, experiment.data, experiment.training, placement)
        for run, seed in jobs:
            started = time.monotonic()
            masks, params = _stored(experiment, network, run, seed, store)
            unit = typical_weight(params, masks)
            networks = [share_one_weight(params, masks, unit * value, signs=run.signs) for value in VALUES]
            accuracies = [float(s.accuracy) for s in trainer.evaluate([jax.tree.map(np.asarray, n) for n in networks])]
            description = experiment.describe_shared(run, seed)
            metrics = {f"test_accuracy_at_{value:g}": each for value, each in zip(VALUES, accuracies, strict=True)}
            metrics |= {"typical_weight": unit}
            store.add([Result(description, metrics, None, time.monotonic() - started)], provenance())
            watch(Done(experiment.work_of(description), "shared_weight", 1))


def _stored(
    experiment: Experiment, network: Network, run: SharedRun, seed: int, store: Storage
) -> tuple[Masks, Params]:
    """The final masks and parameters of the run's network."""
    start = shapes_of(network, experiment.data.image_shape)
    decode = decode_graph if isinstance(run.source, GraphRun) else decode_params
    return decode(store.arrays(identity(experiment.describe_source(run, seed))), start)
