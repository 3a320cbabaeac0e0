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
from analysis.errors import UsageError
from analysis.figure import Figure, diverged, write
from analysis.interrupts import Stop
from analysis.progress import JobProgress, duration
from analysis.protocols import Protocol
from analysis.results import Results
from analysis.store import Store
from analysis.studies import KINDS, Experiment, Study
from analysis.work import Workload, missing_results, workload
from supermask import datasets
from supermask.lottery import initial_params
from supermask.masks import full_masks
from supermask.networks import kernels_of
from supermask.training import Job


@dataclass(frozen=True)
class Request:
    """Figures of an experiment, checked.

    `criteria` take the place of a figure's own where there are any; `shown` picks among what the other figures show,
    each of which keeps all where none of it is named; `own` are a user's criteria and actions, which every figure of
    their kind shows as well.
    """

    figures: Mapping[str, Figure]
    protocol: Protocol
    criteria: tuple[str, ...]
    shown: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]]
    data_dir: Path | None
    results: Path

    @property
    def studies(self) -> dict[str, Study]:
        """What each figure needs."""
        return {name: figure.study(self.names(figure)) for name, figure in self.figures.items()}

    def names(self, figure: Figure) -> tuple[str, ...]:
        """What a figure is to show."""
        if figure.compares == "criterion":
            chosen = self.criteria or figure.names
        else:
            chosen = tuple(name for name in figure.names if name in self.shown) or figure.names
        return tuple(dict.fromkeys((*chosen, *self.own.get(figure.compares, ()))))

    def experiment(self, progress: bool) -> Experiment:
        """The protocol on its data, which is loaded for it. Raises DataError."""
        data = datasets.load(self.protocol.dataset, data_dir=self.data_dir, progress=progress)
        return Experiment(self.protocol, data)


def reproduce(request: Request, dry_run: bool) -> int:
    """Trains what is missing, draws the figures and prints their summaries. Returns the exit status.

    Raises UsageError, StoreError or DataError before anything is trained.
    """
    console = Console()
    studies = request.studies
    study = reduce(Study.__or__, studies.values())
    with Store(request.results) as store:
        experiment = request.experiment(console.is_terminal)
        load = workload(experiment, study, store)
        console.print(_announcement(experiment, load, request.results), highlight=False)
        if dry_run:
            console.print(f"about {duration(_estimate(experiment, study, load))} on this machine", highlight=False)
            return 0
        try:
            with JobProgress(load, console) as progress, Stop() as stop:
                runner.run(experiment, study, store, progress.watch, stop)
        except KeyboardInterrupt:
            now = workload(experiment, study, store)
            console.print(
                f"stopped; stored in {request.results}: {_counted(now)}. The same command goes on from there.",
                highlight=False,
            )
            raise
        for name, figure in request.figures.items():
            table = figure.tabulate(Results(experiment, studies[name], store, request.names(figure)))
            paths = write(figure, table, experiment, request.results / "figures")
            _print_summary(console, figure, figure.summarise(table), paths)
            if number := diverged(table):
                console.print(f"{number} of these {len(table)} diverged: their loss is not a number", highlight=False)
    return 0


def report(request: Request, papers: Mapping[str, str], output: Path, options: str) -> int:
    """Writes the report on what is stored and prints the verdicts. Returns the exit status.

    Raises UsageError where the page cannot be written, or where nothing that it needs is stored.
    """
    from analysis.report import Subject, write_report

    console = Console()
    if not output.parent.is_dir():
        raise UsageError(f"output {str(output)!r} cannot be written: {output.parent} is not a folder")
    with Store(request.results) as store:
        experiment = request.experiment(console.is_terminal)
        subjects = [
            Subject(figure, papers[name], request.names(figure), f"supermask reproduce {name} {options}".strip())
            for name, figure in request.figures.items()
        ]
        sections = write_report(experiment, subjects, store, output)
    table = Table("verdict", "seeds", "claim", title="Claims", title_justify="left")
    for section in sections:
        for row in section.claims:
            table.add_row(row["verdict"], row["seeds"], row["sentence"])
        if section.missing:
            console.print(f"{section.name}: {section.missing} results are not stored; run {section.command}")
    console.print(table)
    console.print(f"{output}  {output.with_suffix('.md')}", soft_wrap=True, highlight=False)
    return 0


def list_figures(request: Request, known: Mapping[str, tuple[str, tuple[str, ...]]]) -> int:
    """Prints each figure's origin, networks, and results needed and stored. `known`: (paper, networks) by name."""
    console = Console()
    table = Table("figure", "what it is", "title", "networks", "results", "stored", box=None, pad_edge=False)
    stored: dict[str, str] = {}
    experiment = request.experiment(console.is_terminal)
    needed = {name: sum(1 for _ in experiment.descriptions(study)) for name, study in request.studies.items()}
    if (request.results / "results.sqlite").exists():
        with Store(request.results) as store:
            missing = {name: missing_results(experiment, s, store) for name, s in request.studies.items()}
            stored = {name: "all" if not n else str(needed[name] - n) for name, n in missing.items()}
    for name, figure in request.figures.items():
        paper, networks = known[name]
        table.add_row(name, paper, figure.title, ", ".join(networks), str(needed[name]), stored.get(name, "0"))
    console.print(f"for {request.protocol.network} on {request.protocol.dataset}, protocol {request.protocol.label}:")
    console.print(table)
    return 0


def _announcement(experiment: Experiment, load: Workload, folder: Path) -> str:
    protocol = experiment.protocol
    return (
        f"{protocol.network} on {protocol.dataset} ({experiment.data.source}), protocol {protocol.label}: "
        f"{protocol.seeds} seeds, {protocol.rounds} rounds, {experiment.training.steps:,} steps a training\n"
        f"stored in {folder}: {_counted(load)}"
    )


def _counted(load: Workload) -> str:
    return ", ".join(f"{count.stored} of {count.needed} {KINDS[kind]}" for kind, count in load.counts.items())


def _estimate(experiment: Experiment, study: Study, load: Workload) -> float:
    """Seconds that the missing work takes, from a short training here (compilation left out)."""
    if load.work == 0:
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
    return per_step * load.work


def _print_summary(console: Console, figure: Figure, summary: pd.DataFrame, paths: list[Path]) -> None:
    table = Table(title=figure.title, title_justify="left")
    table.add_column(str(summary.index.name), no_wrap=True)
    for column in summary.columns:
        table.add_column(str(column), justify="right")
    for name, row in summary.iterrows():
        table.add_row(str(name), *(f"{value:.1f}" for value in row))
    console.print(table)
    console.print("  ".join(str(path) for path in paths), soft_wrap=True, highlight=False)
