"""The main job: from a request to trained results, pictures and a summary in the terminal."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from analysis import runner
from analysis.figure import Figure, write
from analysis.progress import JobProgress, duration
from analysis.protocols import Protocol
from analysis.results import Results
from analysis.store import Store
from analysis.studies import Experiment, Study
from supermask import datasets
from supermask.lottery import initial_params
from supermask.masks import full_masks
from supermask.networks import kernels_of
from supermask.training import Job


@dataclass(frozen=True)
class Request:
    """What `supermask reproduce` was asked for, checked. `criteria` are empty for each figure's own."""

    figures: Mapping[str, Figure]
    protocol: Protocol
    criteria: tuple[str, ...]
    data_dir: Path | None
    results: Path
    dry_run: bool


def reproduce(request: Request) -> int:
    """Trains what is missing, draws the figures and prints their summaries. Returns the exit status.

    Raises UsageError, StoreError or DataError before anything is trained.
    """
    console = Console()
    studies = {name: figure.study(request.criteria or figure.criteria) for name, figure in request.figures.items()}
    study = reduce(Study.__or__, studies.values())
    with Store(request.results) as store:
        data = datasets.load(request.protocol.dataset, data_dir=request.data_dir, progress=console.is_terminal)
        experiment = Experiment(request.protocol, data)
        load = runner.workload(experiment, study, store)
        console.print(_announcement(experiment, load, request.results), highlight=False)
        if request.dry_run:
            console.print(f"about {duration(_estimate(experiment, study, load))} on this machine", highlight=False)
            return 0
        try:
            with JobProgress(load, _steps_an_evaluation(experiment), console) as progress:
                runner.run(experiment, study, store, progress.watch)
        except KeyboardInterrupt:
            now = runner.workload(experiment, study, store)
            console.print(
                f"stopped; {now.trainings_stored} of {now.trainings} trainings are stored in {request.results}. "
                "The same command goes on from there.",
                highlight=False,
            )
            raise
        for name, figure in request.figures.items():
            criteria = request.criteria or figure.criteria
            table = figure.tabulate(Results(experiment, studies[name], store, criteria))
            paths = write(figure, table, experiment, request.results / "figures")
            _print_summary(console, figure, figure.summarise(table), paths)
    return 0


def _announcement(experiment: Experiment, load: runner.Workload, folder: Path) -> str:
    protocol = experiment.protocol
    text = (
        f"{protocol.network} on {protocol.dataset} ({experiment.data.source}), protocol {protocol.label}: "
        f"{protocol.seeds} seeds, {protocol.rounds} rounds, {experiment.training.steps:,} steps a training\n"
        f"{load.trainings} trainings, {load.trainings_stored} of them stored in {folder}"
    )
    if load.evaluations:
        text += f"; {load.evaluations} masks on untrained networks, {load.evaluations_stored} stored"
    return text


def _estimate(experiment: Experiment, study: Study, load: runner.Workload) -> float:
    """Seconds that the missing work takes, from a short training here (compilation left out)."""
    if load.steps == 0 and load.evaluations == load.evaluations_stored:
        return 0.0
    trainer = runner.make_trainer(experiment, max(len(study.treatments), 1) * experiment.protocol.seeds)
    params = initial_params(trainer, 0)
    steps = min(experiment.training.steps, experiment.training.evaluate_every)
    jobs = [Job(params, full_masks(kernels_of(params)), 0, last_step=steps)] * trainer.placement.slots
    seconds = 0.0
    for _ in range(2):  # the first one compiles
        started = time.monotonic()
        trainer.train(jobs)
        seconds = time.monotonic() - started
    per_step = seconds / (max(steps, 1) * len(jobs))
    evaluations = load.evaluations - load.evaluations_stored
    return per_step * (load.steps + _steps_an_evaluation(experiment) * evaluations)


def _steps_an_evaluation(experiment: Experiment) -> float:
    """What an evaluation on test data weighs in steps: a step costs about three forward passes of its batch."""
    return len(experiment.data.test) / (3 * experiment.protocol.batch_size)


def _print_summary(console: Console, figure: Figure, summary: pd.DataFrame, paths: list[Path]) -> None:
    table = Table(title=figure.title, title_justify="left")
    table.add_column(str(summary.index.name))
    for column in summary.columns:
        table.add_column(str(column), justify="right")
    for name, row in summary.iterrows():
        table.add_row(str(name), *(f"{value:.1f}" for value in row))
    console.print(table)
    console.print("  ".join(str(path) for path in paths), soft_wrap=True, highlight=False)
