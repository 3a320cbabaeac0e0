"""Masks learned by gradient descent on untrained weights (Zhou et al. 2019, section 5.2, and others)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from supermask.analysis.kinds import metrics
from supermask.analysis.kinds.base import FILE_BYTES, RECORD_BYTES, Context, Kind, Made, training_flops
from supermask.analysis.kinds.fields import NUMBER, TEXT, TRUTH, ColumnTypes, Parts
from supermask.analysis.kinds.layout import check_array, check_curves, check_layers, params_of
from supermask.analysis.kinds.metrics import ENDS, training_metrics
from supermask.analysis.store.identity import REVISIONS, Description
from supermask.analysis.studies.experiment import Experiment, counts_of, without_defaults
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.system.words import count
from supermask.intervals import TrainingConfig
from supermask.learned_masks import LearnedOutcome, MaskJob, MaskTrainer, mask_optimiser
from supermask.lottery import initial_of
from supermask.mask_logits import BINARY, LearnedMask, limits_of, rounded_masks
from supermask.mask_scores import EVALUATION_SAMPLES
from supermask.masks import Masks
from supermask.networks import Kernels, Params, kernels_of

OPTIMISERS = {"sgd": "sgd, momentum 0.9", "adam": "adam, cosine to 0"}
"""Optimisers of learned masks by their names in descriptions."""

_DRAWN = metrics.SCORES | {
    f"weights_remaining{ending}": (f"validation_at_{moment}", "remaining") for ending, moment in ENDS.items()
}
SCORES = _DRAWN | {f"rounded_{name}": (moment, f"rounded_{what}") for name, (moment, what) in _DRAWN.items()}
"""Metrics of a learned mask, drawn and rounded: see `metrics.training_metrics`."""


class LearnedMasks(Kind[LearnedMask]):
    """Learned masks, one result each. Their weights are drawn from the seed, so they need no earlier training."""

    name, plural = "learned_mask", "learned masks"
    run_types = (LearnedMask,)
    required = ("mask",)
    parts: ClassVar[Parts] = {
        "mask": {
            "weights": TEXT,
            "method": TEXT,
            "rescaled": TRUTH,
            "through_factor": TRUTH,
            **dict.fromkeys(("start", "kept", "threshold", "decay"), NUMBER),
        }
    }
    column_types: ClassVar[ColumnTypes] = {
        "rescaled": "truth",
        "through_factor": "truth",
        "method": "text",
        "start": "mixed",
        **dict.fromkeys(("kept_fraction", "threshold", "decay"), "number"),
    }
    metrics = ("early_stop_step", *SCORES)
    has_arrays = True

    def describe(self, experiment: Experiment, run: LearnedMask, seed: int) -> Sequence[Description]:
        """Describe the mask's choices without defaults."""
        config, name = training_of(experiment, run.method), experiment.protocol.masks.optimiser
        own: Description = {"samples": EVALUATION_SAMPLES, "mask": without_defaults(run)}
        if run.rescaled and run.method != "edge_popup":
            own["revision"] = REVISIONS["rescaled mask"]
        if run.method == "edge_popup":
            own |= counts_of({"kept": run.kept})
        return (experiment.describe(self.name, seed, config, OPTIMISERS[name]) | own,)

    def group(self, run: LearnedMask) -> str:
        """Group by method, and binary weights apart, since each has its own program."""
        return f"learned, {run.method}{', binary' if run.weights == BINARY else ''}"

    def make(self, context: Context, runs: Sequence[LearnedMask]) -> None:
        """Learn the masks that the store lacks, method by method."""
        experiment = context.experiment
        missing = self.missing(context, ((run, seed) for seed in experiment.seeds for run in runs))
        if not missing:
            return
        network, shape = experiment.network, experiment.data.image_shape
        initial = {seed: initial_of(network, seed, shape) for seed in experiment.seeds}
        placement = context.slots(len(missing), len(runs) * len(experiment.seeds))
        for method in dict.fromkeys(run.method for run, _ in missing):
            config = training_of(experiment, method)
            optimiser = mask_optimiser(experiment.protocol.masks.optimiser, config.learning_rate, config.steps)
            new = partial(MaskTrainer, network, experiment.data, config, placement, optimiser, context.checkpoints)
            trainer = context.bench.trainer((self.name, method, config, placement), new)
            told = context.steps(experiment.step_cost(config.batch_size))

            def learn(
                some: Sequence[tuple[LearnedMask, int]], trainer: MaskTrainer = trainer, told: Any = told
            ) -> list[Made]:
                outcomes = trainer.train([MaskJob(initial[seed], run, seed) for run, seed in some], told)
                return [(metrics_of(outcome), encode(outcome)) for outcome in outcomes]

            own = [(run, seed) for run, seed in missing if run.method == method]
            self.make_in_populations(context, own, placement.slots, learn)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the mask's choices with defaults; None for those without a meaning for it."""
        mask = vars(LearnedMask()) | description["mask"]
        scored = mask["method"] == "edge_popup"
        # Until revision 4 the gradient took the factor of rescaling for constant.
        through = mask["through_factor"] and description.get("revision", 1) >= REVISIONS["rescaled mask"]
        of_factor = {"through_factor": through if mask["rescaled"] and not scored else None}
        of_method = {"kept": None, "kept_fraction": mask["kept"] if scored else None}
        if mask["method"] != "signed":
            of_method |= {"threshold": None, "decay": None}
        return mask | of_factor | of_method

    def check_arrays(self, description: Description, arrays: Mapping[str, np.ndarray]) -> None:
        """Check a logit per weight, and curves."""
        check_curves(arrays, ("loss", "accuracy"))
        params = params_of(description)
        if params is not None:
            check_layers(arrays, "logits.", params)
            for layer, kernel in kernels_of(params).items():
                check_array(arrays, f"logits.{layer}", "f", kernel.shape)

    def uses(self, run: LearnedMask) -> frozenset[str]:
        """Return its own length."""
        return frozenset({"mask_epochs"})

    def length(self, protocol: Protocol, runs: Sequence[LearnedMask]) -> str:
        """Return the epochs."""
        return f"masks learned for {count(protocol.masks.epochs, 'epoch')}"

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return its steps, weighted by their larger batches."""
        return float(description["steps"] * experiment.step_cost(description["batch_size"]))

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs; an evaluation judges the rounded mask and several drawn ones."""
        return training_flops(experiment, description, forward, looks=1 + EVALUATION_SAMPLES)

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return the bytes of logits and curves."""
        weights = sum(kernel.size for kernel in kernels_of(params).values())
        evaluations = description["steps"] // description["evaluate_every"] + 2
        return RECORD_BYTES + FILE_BYTES + 4 * weights + 28 * evaluations


LEARNED = LearnedMasks()


def training_of(experiment: Experiment, method: str) -> TrainingConfig:
    """Return the training of masks by a method, with epochs converted to steps."""
    masks = experiment.protocol.masks
    rate = masks.learning_rate if method == "bernoulli" else masks.score_learning_rate
    return experiment.config(masks.epochs, rate, masks.batch_size, masks.evaluate_every)


def rounded(run: LearnedMask, arrays: Mapping[str, np.ndarray]) -> Masks:
    """Return the rounded mask of a stored run: bool, or -1, 0 and 1 of int8 for the method 'signed'."""
    logits = decode_logits(arrays)
    masks = rounded_masks(run.method, logits, limits_of(run, logits))
    return {layer: np.asarray(mask) for layer, mask in masks.items()}


def metrics_of(outcome: LearnedOutcome) -> dict[str, float]:
    """Return metrics: means over drawn masks, and the rounded mask's own, as `rounded_…`."""
    return training_metrics(outcome, SCORES)


def encode(outcome: LearnedOutcome) -> dict[str, np.ndarray]:
    """Return the arrays of a learned mask: its logits (or scores), its network's state, and the training's curves."""
    arrays = {f"logits.{layer}": np.asarray(values) for layer, values in outcome.logits.items()}
    arrays["curve.evaluated_at"] = np.asarray(outcome.evaluated_at)
    arrays |= {
        f"state.{layer}.{n}": np.asarray(leaf) for layer, own in outcome.state.items() for n, leaf in own.items()
    }
    return arrays | {f"curve.{name}": np.asarray(curve) for name, curve in outcome.curves._asdict().items()}


def decode_logits(arrays: Mapping[str, np.ndarray]) -> Kernels:
    """Return the logits (or scores) of a learned mask."""
    return {name.removeprefix("logits."): array for name, array in arrays.items() if name.startswith("logits.")}
