"""Dense-sparse-dense trainings (Han et al. 2017)."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from supermask.analysis.kinds.base import Context, Kind, training_flops
from supermask.analysis.kinds.fields import NUMBER, ColumnTypes, Parts
from supermask.analysis.kinds.metrics import TRAINING_METRICS, training_metrics
from supermask.analysis.store.identity import REVISIONS, Description
from supermask.analysis.store.store import Result
from supermask.analysis.studies.experiment import Experiment, counts_of, dense_kernels
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.studies.recipes import SETTINGS
from supermask.analysis.system.words import count
from supermask.compression.dsd import LAST_RATE, DSDRun, Phases, dense_sparse_dense
from supermask.counts import share
from supermask.intervals import TrainingConfig
from supermask.live_weights import pays
from supermask.lottery import initial_of
from supermask.training import Trainer

PHASES = ("dense_phase", "sparse_phase", "last_phase")


class DenseSparseDense(Kind[DSDRun]):
    """Dense-sparse-dense trainings, one result each; `steps` counts those of one phase."""

    name, plural = "dsd", "dense-sparse-dense trainings"
    run_types = (DSDRun,)
    required = ("dsd.sparsity",)
    parts: ClassVar[Parts] = {"dsd": {"sparsity": NUMBER}}
    column_types: ClassVar[ColumnTypes] = {"sparsity": "number"}
    metrics = (*TRAINING_METRICS, *(f"test_accuracy_{phase}" for phase in PHASES))

    def describe(self, experiment: Experiment, run: DSDRun, seed: int) -> Sequence[Description]:
        """Describe the sparsity of the middle phase, and the last phase's rate over the others'."""
        own = {"dsd": {"sparsity": run.sparsity, "last_rate": LAST_RATE}} | counts_of({"sparsity": run.sparsity})
        base = experiment.describe(self.name, seed, phase_of(experiment))
        if run.sparsity and experiment.protocol.recipe.plain and (kernels := dense_kernels(experiment)):
            sizes = [kernel.size for kernel in kernels.values()]
            live = sum(size - share(run.sparsity, size) for size in sizes)
            if pays(sum(sizes), live, base["steps"]):
                base["revision"] = REVISIONS["live dsd"]
        return (base | own,)

    def bundles(self, runs: Sequence[DSDRun]) -> Iterable[tuple[DSDRun, ...]]:
        """Bundle all sparsities, which share the first phase."""
        return (tuple(runs),) if runs else ()

    def make(self, context: Context, runs: Sequence[DSDRun]) -> None:
        """Train every missing run of a seed together, and seeds that lack the same runs side by side."""
        experiment = context.experiment
        network, shape = experiment.network, experiment.data.image_shape
        lacking: dict[tuple[DSDRun, ...], list[int]] = {}
        for seed in experiment.seeds:
            if missing := tuple(run for run, _ in self.missing(context, ((run, seed) for run in runs))):
                lacking.setdefault(missing, []).append(seed)
        for some, seeds in lacking.items():
            started = time.monotonic()
            placement = context.slots(len(seeds) * len(some), len(seeds) * len(some))  # stored all at once
            given = (network, experiment.data, phase_of(experiment), placement)
            trainer = Trainer(*given, checkpoints=context.checkpoints, recipe=experiment.protocol.recipe)
            starts = [initial_of(network, seed, shape) for seed in seeds]
            done = dense_sparse_dense(trainer, starts, seeds, [run.sparsity for run in some], context.steps())
            seconds = (time.monotonic() - started) / len(done)
            results = [
                Result(
                    self.results(experiment, DSDRun(sparsity), seed)[0].description, metrics_of(phases), None, seconds
                )
                for (sparsity, seed), phases in done.items()
            ]
            context.keep(self.name, results)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the sparsity of the middle phase."""
        return {"sparsity": description["dsd"]["sparsity"]}

    def uses(self, run: DSDRun) -> frozenset[str]:
        """Return the recipe's fields, and those of sparse training, since a phase is as long."""
        return frozenset({"sparse_epochs", *SETTINGS})

    def length(self, protocol: Protocol, runs: Sequence[DSDRun]) -> str:
        """Return the epochs."""
        return f"{count(protocol.sparse.epochs, 'epoch')} a phase"

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return the work of three phases."""
        return float(3 * description["steps"])

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of three phases, each with its evaluations."""
        return training_flops(experiment, description, forward, phases=3)


DSD = DenseSparseDense()


def phase_of(experiment: Experiment) -> TrainingConfig:
    """Return the training of a phase, as long as a sparse training; the last phase has another learning rate."""
    return experiment.by_recipe(experiment.protocol.sparse.epochs)


def metrics_of(phases: Phases) -> dict[str, float]:
    """Return the last phase's metrics, and the accuracy at the end of each phase."""
    ends = {f"test_accuracy_{n}": float(p.test_at_end.accuracy) for n, p in zip(PHASES, phases, strict=True)}
    return training_metrics(phases.last) | ends
