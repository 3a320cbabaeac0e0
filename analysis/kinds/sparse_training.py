"""Networks that are sparse from the first step, by every method of `supermask.sparse_training`, and their controls."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
import optax

from supermask.analysis.kinds.base import FILE_BYTES, RECORD_BYTES, Context, Kind, Made
from supermask.analysis.kinds.fields import NUMBER, TEXT, ColumnTypes, Parts
from supermask.analysis.kinds.layout import check_array, check_curves, check_layers, check_mask, params_of
from supermask.analysis.kinds.leaves import check_others, decode_masks, decode_others, encode_others, others_size
from supermask.analysis.kinds.metrics import CURVES, TRAINING_METRICS, training_metrics
from supermask.analysis.store.identity import REVISIONS, Description
from supermask.analysis.store.store import Storage
from supermask.analysis.studies.experiment import Experiment, counts_of, dense_kernels, without_defaults
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.words import count
from supermask.bits import pack
from supermask.compression.pruning import RECIPES, Recipe, kept_counts_of
from supermask.intervals import TrainingConfig
from supermask.keys import Purpose, derive_key
from supermask.live_weights import pays
from supermask.lottery import initial_of
from supermask.masks import Masks, full_masks
from supermask.networks import FeedForward, Network, initialise, shapes_of
from supermask.overlaps import agreement
from supermask.params import Kernels, Params, kernels_of
from supermask.sparse_training import METHODS, Horizon, layer_counts
from supermask.sparse_training.densities import DISTRIBUTIONS, FIRST_DENSE
from supermask.sparse_training.progress import SparseTrained
from supermask.sparse_training.runs import SGD_COSINE, SMALL_DENSE, SparseRun, sgd_cosine, small_dense
from supermask.sparse_training.trainer import SparseJob, SparseTrainer


class SparseTrainings(Kind[SparseRun]):
    """Sparse trainings, one result each."""

    name, plural = "sparse_training", "sparse trainings"
    run_types = (SparseRun,)
    required = ("sparse",)
    parts: ClassVar[Parts] = {
        "sparse": {
            **dict.fromkeys(("method", "distribution", "structure", "start", "shape"), TEXT),
            "density": NUMBER,
        }
    }
    column_types: ClassVar[ColumnTypes] = {
        "density": "number",
        "distribution": "text",
        "structure": "text",
        "shape": "text",
    }
    metrics = (*TRAINING_METRICS, "live_weights", "weights_remaining", "kept_from_start", "changes")
    has_arrays = True

    def describe(self, experiment: Experiment, run: SparseRun, seed: int) -> Sequence[Description]:
        """Describe the run, and all choices of its method. Raises UsageError if it is too short for the method."""
        _check_length(experiment, run)
        _check_density(experiment, run)
        own: dict[str, Any] = {"sparse": _fields(run)}
        method = run.structure or run.method
        if method != SMALL_DENSE and (choices := asdict(METHODS[method].config())):
            own["choices"] = choices
        if run.distribution not in DISTRIBUTIONS:
            own["kept"] = dict(recipe_of(experiment.protocol.network, run.distribution).kept)
        else:
            own |= counts_of({"density": run.density})
        base = experiment.describe(self.name, seed, training_of(experiment), SGD_COSINE)
        if _on_live_weights(experiment, run):
            base["revision"] = REVISIONS["live sparse training"]
        return (base | own,)

    def sources(self, run: SparseRun) -> Sequence[Hashable]:
        """Return the run whose final structure, or weights, it starts with."""
        return () if run.source is None else (run.source,)

    def group(self, run: SparseRun) -> str:
        """Group by program: one per method, one per size of small dense network; runs that need others come later."""
        size = f", {run.density:g}, {run.shape}" if run.method == SMALL_DENSE else ""
        return f"sparse, {run.method}{size}{', from another' if run.source is not None else ''}"

    def make(self, context: Context, runs: Sequence[SparseRun]) -> None:
        """Train what the store lacks: first the methods themselves, then the runs that start from their results.

        Networks of one method and shape are trained in populations, whatever their seeds and densities.
        """
        for depends in (False, True):
            own = [run for run in runs if (run.source is not None) == depends]
            every = [(run, seed) for run in own for seed in context.experiment.seeds]
            missing = dict.fromkeys(self.missing(context, every))
            groups: dict[tuple[str, Network], list[tuple[SparseRun, int]]] = {}
            for run, seed in every if missing else ():
                groups.setdefault((run.method, network_of(context.experiment, run)), []).append((run, seed))
            for (method, network), jobs in groups.items():
                if left := [job for job in jobs if job in missing]:
                    self._train(context, method, network, left, len(jobs))

    def _train(
        self, context: Context, method: str, network: Network, jobs: Sequence[tuple[SparseRun, int]], every: int
    ) -> None:
        experiment = context.experiment
        config, shape = training_of(experiment), experiment.data.image_shape
        placement = context.placement(network, len(jobs), every)
        entry = METHODS["static" if method == SMALL_DENSE else method]
        optimiser = sgd_cosine(config.learning_rate, config.steps)
        given = (network, experiment.data, config, placement, entry, optimiser)
        new = partial(SparseTrainer, *given, checkpoints=context.checkpoints)
        trainer = context.bench.trainer((self.name, method, network, config, placement), new)
        initial = {seed: initial_of(network, seed, shape) for seed in experiment.seeds}

        def train(some: Sequence[tuple[SparseRun, int]]) -> list[Made]:
            starts = [_job(experiment, network, run, seed, initial[seed], context.store) for run, seed in some]
            told = context.steps(experiment.step_cost(config.batch_size))
            return [(metrics_of(each), encode(each)) for each in trainer.train(starts, told)]

        self.make_in_populations(context, jobs, placement.slots, train)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the run with defaults."""
        return vars(SparseRun()) | description["sparse"]

    def check_arrays(self, description: Description, arrays: Mapping[str, np.ndarray]) -> None:
        """Check masks at both ends, live weights, biases and curves; a narrower network has shapes of its own."""
        params = None if description["sparse"].get("method") == SMALL_DENSE else params_of(description)
        length, layers = check_curves(arrays), check_layers(arrays, "last.", params)
        for curve in ("curve.live", "curve.grown"):
            check_array(arrays, curve, "iu", (length, len(layers)))
        for layer in layers:
            size = params[layer]["kernel"].size if params else 8 * arrays[f"last.{layer}"].size
            check_mask(arrays, f"first.{layer}", size)
            check_array(arrays, f"kept.{layer}", "f", (check_mask(arrays, f"last.{layer}", size),))
            if not params:
                check_array(arrays, f"bias.{layer}", "f", (None,))
        check_others(arrays, params or {})

    def uses(self, run: SparseRun) -> frozenset[str]:
        """Return its own length."""
        return frozenset({"sparse_epochs"})

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return its steps, in steps of the rounds, whose batches a recipe may make larger."""
        return float(description["steps"] * experiment.step_cost(description["batch_size"]))

    def length(self, protocol: Protocol, runs: Sequence[SparseRun]) -> str:
        """Return the epochs."""
        return count(protocol.sparse.epochs, "epoch")

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return the bytes of two masks, live weights and curves."""
        weights = sum(kernel.size for kernel in kernels_of(params).values())
        biases = others_size(params)
        evaluations = description["steps"] // description["evaluate_every"] + 2
        content = 2 * weights / 8 + 4 * (live_weights(description, params) + biases)
        return RECORD_BYTES + FILE_BYTES + content + (12 + 16 * len(kernels_of(params))) * evaluations


SPARSE = SparseTrainings()


def live_weights_pay(experiment: Experiment, run: SparseRun, steps: int) -> bool:
    """Return whether that number of steps on live weights alone pays at the run's density."""
    if run.method == SMALL_DENSE or not (kernels := dense_kernels(experiment)):
        return False
    counts = _counts(experiment, kernels, run)
    return pays(sum(kernel.size for kernel in kernels.values()), sum(counts.values()), steps)


def _on_live_weights(experiment: Experiment, run: SparseRun) -> bool:
    """Return whether any of its steps are taken on live weights alone at its final density."""
    return (
        run.method != SMALL_DENSE
        and METHODS[run.method].sparse_steps
        and live_weights_pay(experiment, run, training_of(experiment).steps)
    )


def _check_length(experiment: Experiment, run: SparseRun) -> None:
    """Raise UsageError if the training is too short for its method."""
    if run.method not in METHODS:
        return
    training = training_of(experiment)
    epoch = max(len(experiment.data.train) // training.batch_size, 1)
    if problem := _problem_of(run.method, Horizon(training.steps, epoch)):
        raise UsageError(f"sparse-epochs is {experiment.protocol.sparse.epochs:g}, for {run.method}: {problem}")


def _check_density(experiment: Experiment, run: SparseRun) -> None:
    """Raise UsageError if the network cannot be that sparse with its first layer dense."""
    if run.distribution == FIRST_DENSE:
        try:
            kernels = kernels_of(shapes_of(experiment.network, experiment.data.image_shape))
            _counts(experiment, kernels, run)
        except ValueError as error:
            raise UsageError(str(error)) from None


@cache
def _problem_of(method: str, horizon: Horizon) -> str:
    """Return what is wrong with a sparse training of that length; '' if nothing is."""
    try:
        METHODS[method].make(optax.identity(), horizon)
    except ValueError as error:
        return str(error)
    return ""


def _fields(run: SparseRun) -> dict[str, Any]:
    """Return a run's fields except defaults; 'erk' is left out because it was once the only distribution."""
    return {name: value for name, value in without_defaults(run).items() if (name, value) != ("distribution", "erk")}


def training_of(experiment: Experiment) -> TrainingConfig:
    """Return the training of sparse networks, with epochs converted to steps."""
    return experiment.config(experiment.protocol.sparse.epochs, experiment.protocol.sparse.learning_rate)


def live_weights(description: Description, params: Params) -> float:
    """Return the number of weights that a described sparse network keeps."""
    sizes = {layer: kernel.size for layer, kernel in kernels_of(params).items()}
    if "kept" in description:
        return sum(size * description["kept"][layer] for layer, size in sizes.items())
    return sum(sizes.values()) * description["sparse"].get("density", 1.0)


def network_of(experiment: Experiment, run: SparseRun) -> Network:
    """Return the network that is trained: the experiment's, or a narrower one."""
    network, shape = experiment.network, experiment.data.image_shape
    if run.method != SMALL_DENSE:
        return network
    if not isinstance(network, FeedForward) or network.convolutional:
        raise UsageError(
            f"{SMALL_DENSE} narrows a network of dense layers; {experiment.protocol.network} has other layers"
        )
    kernels = kernels_of(shapes_of(network, shape))
    weights = sum(_counts(experiment, kernels, run).values())
    return small_dense(network, shape, weights, run.shape)


def _job(
    experiment: Experiment, network: Network, run: SparseRun, seed: int, params: Params, store: Storage
) -> SparseJob:
    """Return a run's training; `params` are the seed's initial ones."""
    shape, masks = experiment.data.image_shape, None
    if run.source is not None:
        arrays = store.arrays(SPARSE.results(experiment, run.source, seed)[0].id)
        masks, final = decode_params(arrays, params)
        if run.start == "trained":
            return SparseJob(final, _counts(experiment, kernels_of(params), run), seed)
    if run.start == "fresh":
        params = initialise(network, derive_key(seed, Purpose.FRESH_WEIGHTS), shape)
    if masks is not None:
        return SparseJob(params, {layer: int(np.sum(mask)) for layer, mask in masks.items()}, seed, masks)
    if run.method == SMALL_DENSE:
        masks = full_masks(kernels_of(params))  # given, so that choosing them isn't compiled for every size
        return SparseJob(params, {layer: mask.size for layer, mask in masks.items()}, seed, masks)
    return SparseJob(params, _counts(experiment, kernels_of(params), run), seed)


def recipe_of(network: str, name: str) -> Recipe:
    """Return Deep Compression's recipe of that name for a network. Raises UsageError where there is none."""
    recipes = RECIPES[choose("network for Deep Compression", network, RECIPES)]
    return recipes[choose("distribution", name, recipes)]


def _counts(experiment: Experiment, kernels: Kernels, run: SparseRun) -> dict[str, int]:
    """Return each layer's number of live weights, given the kernels' shapes; the first layer is the program's."""
    if run.distribution not in DISTRIBUTIONS:
        return kept_counts_of(recipe_of(experiment.protocol.network, run.distribution), kernels)
    order = experiment.network.layer_products(experiment.data.image_shape)
    layers = sorted(kernels, key=lambda layer: list(order).index(layer) if layer in order else len(order))
    return layer_counts({layer: kernels[layer].shape for layer in layers}, run.density, run.distribution)


def metrics_of(outcome: SparseTrained) -> dict[str, float]:
    """Return the metrics of a sparse training: those of every training, and of its structure.

    `kept_from_start` is the fraction of the final structure that was live at the start, `changes` the number of times
    that a weight came alive, over the live weights.
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


def encode(outcome: SparseTrained) -> dict[str, np.ndarray]:
    """Return the arrays of a sparse training: structure at both ends, final live weights, and curves."""
    trained, structure = outcome
    arrays = {f"curve.{name}": np.asarray(getattr(trained, name)) for name in CURVES}
    arrays |= {"curve.live": structure.live.astype(np.int64), "curve.grown": structure.grown.astype(np.int64)}
    for layer, mask in structure.last.items():
        arrays[f"first.{layer}"], arrays[f"last.{layer}"] = pack(structure.first[layer]), pack(mask)
        arrays[f"kept.{layer}"] = np.asarray(trained.params[layer]["kernel"])[np.asarray(mask)]
    return arrays | encode_others(trained.params)


def decode_params(arrays: Mapping[str, np.ndarray], start: Params) -> tuple[Masks, Params]:
    """Return the final masks and parameters; `start` gives the kernels' shapes."""
    masks, params = decode_masks(arrays, "last", start), decode_others(arrays)
    for layer, mask in masks.items():
        kernel = np.zeros(mask.shape, np.float32)
        kernel[np.asarray(mask)] = arrays[f"kept.{layer}"]
        params[layer] = {"kernel": kernel, **params.get(layer, {})}
    return masks, params
