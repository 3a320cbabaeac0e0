"""Learning the masks that the store lacks."""

import time
from collections.abc import Sequence
from functools import partial

from analysis.arrays import encode_learned
from analysis.provenance import provenance
from analysis.store import Result, Storage
from analysis.studies import Experiment
from analysis.work import Done, Watcher, missing_runs, steps_teller
from analysis.workbench import Workbench
from supermask.intervals import Checkpoints
from supermask.learned_masks import LearnedMask, LearnedOutcome, MaskJob, MaskTrainer, mask_optimiser
from supermask.lottery import initial_of
from supermask.networks import NETWORKS, parameter_count
from supermask.population import batched, place


def run_learned(
    experiment: Experiment,
    learned: Sequence[LearnedMask],
    store: Storage,
    watch: Watcher,
    checkpoints: Checkpoints | None = None,
    bench: Workbench | None = None,
) -> None:
    """Learns the masks that the store lacks, storing each population as it is done."""
    runs = ((each, seed) for seed in experiment.seeds for each in learned)
    missing = missing_runs(store, experiment.describe_learned, runs)
    if not missing:
        return
    network, shape = NETWORKS[experiment.protocol.network], experiment.data.image_shape
    initial = {seed: initial_of(network, seed, shape) for seed in experiment.seeds}
    bench = bench or Workbench()
    placement = place(parameter_count(network, shape), networks=bench.slots(len(missing)))
    for method in dict.fromkeys(each.method for each, _ in missing):
        config = experiment.mask_training(method)
        optimiser = mask_optimiser(experiment.protocol.masks.optimiser, config.learning_rate, config.steps)
        make = partial(MaskTrainer, network, experiment.data, config, placement, optimiser, checkpoints)
        trainer = bench.trainer(("masks", method, config, placement), make)
        cost = config.batch_size / experiment.protocol.batch_size
        own = [(each, seed) for each, seed in missing if each.method == method]
        for some in batched(own, placement.slots):
            started = time.monotonic()
            jobs = [MaskJob(initial[seed], each, seed) for each, seed in some]
            outcomes = trainer.train(jobs, steps_teller(watch, cost))
            seconds = (time.monotonic() - started) / len(some)
            results = [
                Result(experiment.describe_learned(*run), learned_metrics(outcome), encode_learned(outcome), seconds)
                for run, outcome in zip(some, outcomes, strict=True)
            ]
            store.add(results, provenance())
            watch(Done(kind="learned_mask", results=len(some)))


def learned_metrics(outcome: LearnedOutcome) -> dict[str, float]:
    """The metrics of a learned mask: means over drawn masks, and the rounded mask's own, as `rounded_…`."""
    metrics = {"early_stop_step": float(outcome.early_stop)}
    for split, at, scores in (
        ("test", "", outcome.test_at_early_stop),
        ("test", "_at_end", outcome.test_at_end),
        ("validation", "", outcome.validation_at_early_stop),
        ("validation", "_at_end", outcome.validation_at_end),
    ):
        metrics |= {
            f"{split}_accuracy{at}": float(scores.accuracy),
            f"{split}_loss{at}": float(scores.loss),
            f"rounded_{split}_accuracy{at}": float(scores.rounded_accuracy),
            f"rounded_{split}_loss{at}": float(scores.rounded_loss),
        }
    best, end = outcome.validation_at_early_stop, outcome.validation_at_end
    return metrics | {
        "weights_remaining": float(best.remaining),
        "rounded_weights_remaining": float(best.rounded_remaining),
        "weights_remaining_at_end": float(end.remaining),
        "rounded_weights_remaining_at_end": float(end.rounded_remaining),
    }
