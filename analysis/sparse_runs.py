"""The sparse trainings that the store lacks."""

import time
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from analysis.metrics import training_metrics
from analysis.provenance import provenance
from analysis.store import Result, Storage
from analysis.studies import Experiment, identity
from analysis.work import Done, Watcher, missing_runs, steps_teller
from analysis.workbench import Workbench
from supermask.compression.pruning import RECIPES, kept_counts_of
from supermask.keys import Purpose, derive_key
from supermask.lottery import initial_of
from supermask.masks import Masks, agreement, full_masks, pack, unpack
from supermask.networks import NETWORKS, Network, Params, initialise, kernels_of, parameter_count, shapes_of
from supermask.population import batched, place
from supermask.sparse_training import METHODS, layer_counts
from supermask.sparse_training.runs import RECIPE_NAMES, SMALL_DENSE, SparseRun, sgd_cosine, small_dense
from supermask.sparse_training.trainer import SparseJob, SparseTrained, SparseTrainer, Structure

Job = tuple[SparseRun, int]


def run_sparse(
    experiment: Experiment,
    runs: Sequence[SparseRun],
    store: Storage,
    watch: Watcher,
    bench: Workbench | None = None,
) -> None:
    """Trains what the store lacks: first the methods themselves, then what starts from the structures they found.

    Networks of one method and shape are trained in populations, whatever their seeds and densities; each population is
    stored as soon as it is done.
    """
    bench = bench or Workbench()
    for depends in (False, True):
        own = [run for run in runs if (run.source is not None) == depends]
        groups: dict[tuple[str, Network], list[Job]] = {}
        every = ((run, seed) for run in own for seed in experiment.seeds)
        for run, seed in missing_runs(store, experiment.describe_sparse, every):
            network = network_of(experiment, run)
            groups.setdefault((run.method, network), []).append((run, seed))
        for (method, network), jobs in groups.items():
            _train(experiment, method, network, jobs, store, watch, bench)


def network_of(experiment: Experiment, run: SparseRun) -> Network:
    """The network that is trained: the experiment's, or a narrower one."""
    network, shape = NETWORKS[experiment.protocol.network], experiment.data.image_shape
    if run.method != SMALL_DENSE:
        return network
    weights = sum(_counts(network, shape, run, experiment.protocol.network).values())
    return small_dense(network, shape, weights, run.shape)


def _train(
    experiment: Experiment,
    method: str,
    network: Network,
    jobs: Sequence[Job],
    store: Storage,
    watch: Watcher,
    bench: Workbench,
) -> None:
    config, shape = experiment.sparse_training, experiment.data.image_shape
    placement = place(parameter_count(network, shape), networks=bench.slots(len(jobs)))
    entry = METHODS["static" if method == SMALL_DENSE else method]
    optimiser = sgd_cosine(config.learning_rate, config.steps)
    make = partial(SparseTrainer, network, experiment.data, config, placement, entry, optimiser)
    trainer = bench.trainer(("sparse", method, network, config, placement), make)
    initial = {seed: initial_of(network, seed, shape) for seed in experiment.seeds}
    for some in batched(jobs, placement.slots):
        started = time.monotonic()
        trained = trainer.train(
            [_job(experiment, network, run, seed, initial[seed], store) for run, seed in some], steps_teller(watch)
        )
        seconds = (time.monotonic() - started) / len(some)
        results = [
            Result(experiment.describe_sparse(*job), sparse_metrics(outcome), encode_sparse(outcome), seconds)
            for job, outcome in zip(some, trained, strict=True)
        ]
        store.add(results, provenance())
        watch(Done(kind="sparse_training", results=len(some)))


def _job(
    experiment: Experiment, network: Network, run: SparseRun, seed: int, params: Params, store: Storage
) -> SparseJob:
    """A run's training; `params` are the seed's initial ones."""
    shape, masks = experiment.data.image_shape, None
    if run.source is not None:
        arrays = store.arrays(identity(experiment.describe_sparse(run.source, seed)))
        masks, final = decode_params(arrays, params)
        if run.start == "trained":
            return SparseJob(final, _counts(network, shape, run, experiment.protocol.network), seed)
    if run.start == "fresh":
        params = initialise(network, derive_key(seed, Purpose.FRESH_WEIGHTS), shape)
    if masks is not None:
        return SparseJob(params, {layer: int(np.sum(mask)) for layer, mask in masks.items()}, seed, masks)
    if run.method == SMALL_DENSE:
        masks = full_masks(kernels_of(params))  # given, so that choosing them isn't compiled for every size
        return SparseJob(params, {layer: mask.size for layer, mask in masks.items()}, seed, masks)
    return SparseJob(params, _counts(network, shape, run, experiment.protocol.network), seed)


def _counts(network: Network, image_shape: tuple[int, int, int], run: SparseRun, name: str) -> dict[str, int]:
    kernels = kernels_of(shapes_of(network, image_shape))
    if run.distribution in RECIPE_NAMES:
        return kept_counts_of(RECIPES[name][run.distribution], kernels)
    shapes = {layer: kernel.shape for layer, kernel in kernels.items()}
    return layer_counts(shapes, run.density, run.distribution)


def sparse_metrics(outcome: SparseTrained) -> dict[str, float]:
    """The metrics of a sparse training: those of every training; its weights; how much of its start the end still has.

    `live_weights` is their number. `kept_from_start` is the fraction of the final structure that was live at the start,
    `changes` how often a weight came alive, over the live weights.
    """
    first, last = outcome.structure.first, outcome.structure.last
    live = sum(int(np.sum(mask)) for mask in last.values())
    both = sum(agreement(first[layer], last[layer]).kept_both for layer in last)
    return training_metrics(outcome.trained) | {
        "live_weights": float(live),
        "weights_remaining": live / sum(mask.size for mask in last.values()),
        "kept_from_start": both / max(live, 1),
        "changes": float(np.sum(outcome.structure.grown[-1])) / max(live, 1),
    }


def encode_sparse(outcome: SparseTrained) -> dict[str, np.ndarray]:
    """The arrays of a sparse training: structure at the start and the end, final live weights, and curves."""
    trained, structure = outcome
    arrays = {f"curve.{name}": np.asarray(getattr(trained, name)) for name in CURVES}
    arrays |= {"curve.live": structure.live.astype(np.int64), "curve.grown": structure.grown.astype(np.int64)}
    for layer, mask in structure.last.items():
        arrays[f"first.{layer}"], arrays[f"last.{layer}"] = pack(structure.first[layer]), pack(mask)
        arrays[f"kept.{layer}"] = np.asarray(trained.params[layer]["kernel"])[np.asarray(mask)]
        arrays[f"bias.{layer}"] = np.asarray(trained.params[layer]["bias"])
    return arrays


CURVES = ("evaluated_at", "validation_loss", "validation_accuracy")


def decode_masks(arrays: Mapping[str, np.ndarray], part: str, params: Params) -> Masks:
    """Masks of the 'first' or 'last' step; `params` gives the kernels' shapes."""
    return {layer: unpack(arrays[f"{part}.{layer}"], kernel.shape) for layer, kernel in kernels_of(params).items()}


def decode_params(arrays: Mapping[str, np.ndarray], start: Params) -> tuple[Masks, Params]:
    """Final masks and parameters; `start` gives the kernels' shapes."""
    masks = decode_masks(arrays, "last", start)
    params: Params = {}
    for layer, mask in masks.items():
        kernel = np.zeros(mask.shape, np.float32)
        kernel[np.asarray(mask)] = arrays[f"kept.{layer}"]
        params[layer] = {"kernel": kernel, "bias": arrays[f"bias.{layer}"]}
    return masks, params


def decode_structure(arrays: Mapping[str, np.ndarray], params: Params) -> Structure:
    """The masks at both ends and their curves."""
    first, last = decode_masks(arrays, "first", params), decode_masks(arrays, "last", params)
    return Structure(first, last, arrays["curve.live"], arrays["curve.grown"])
