"""The command `reproduce`: from a request to trained results, pictures and a summary in the terminal."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

import pandas as pd

from supermask import datasets
from supermask.analysis.command.options import check_steps, own_names, with_other_data
from supermask.analysis.command.trying import try_members
from supermask.analysis.drawing.captions import label
from supermask.analysis.drawing.figure import Figure, collapsed, diverged, write, write_page
from supermask.analysis.drawing.frame import SCREEN, Look
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.plan import Workload, ids_needed, lengths, missing_results, workload
from supermask.analysis.running import runner
from supermask.analysis.running.cluster.connection import Connection, connected
from supermask.analysis.running.cluster.source import Source
from supermask.analysis.running.interrupts import Stop
from supermask.analysis.running.pricing import MACHINES, SECONDS, Price, StepSeconds, measure, price
from supermask.analysis.running.progress import JobProgress, duration
from supermask.analysis.running.units import Shard, deal, seeds_of, together
from supermask.analysis.store.checkpoints import FOLDER as UNFINISHED
from supermask.analysis.store.folders import check_stored, lacking
from supermask.analysis.store.store import Only, Store
from supermask.analysis.studies.experiment import Experiment, Study, own_members_of
from supermask.analysis.studies.network_files import OwnNetwork
from supermask.analysis.studies.own_figures import OwnFigure
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.files import check_folder
from supermask.analysis.system.screen import Screen, print_table
from supermask.analysis.system.words import count
from supermask.compression.runs import CompressionRun
from supermask.named_members import Members
from supermask.reading import read_regular
from supermask.restarts import Treatment


@dataclass(frozen=True)
class FigureRequest:
    """Figures of an experiment, checked.

    `criteria` take the place of a figure's own where there are any; `shown` picks among what the other figures show,
    each of which keeps all where none of it is named. `members` are the known criteria and actions: every figure of
    their kind shows all of a user's own as well, or those alone that `criteria` or `shown` name. `notes` are lines on
    options that do not matter to some figures, and `used` the options that each figure depends on. `data` is a data
    set of the user's own, which is read before all else, and `own_network` a network of the user's own. `other_dataset`
    names another data set, or its path, for figures that take tickets from there.
    """

    figures: Mapping[str, Figure]
    protocol: Protocol
    criteria: tuple[str, ...]
    shown: tuple[str, ...]
    members: Members
    data_dir: Path | None
    results: Path
    shard: Shard | None = None
    cluster: Source | None = None
    plugin: Path | None = None
    notes: tuple[str, ...] = ()
    used: Mapping[str, frozenset[str]] = field(default_factory=dict)
    look: Look = SCREEN
    data: datasets.Dataset | None = None
    own_network: OwnNetwork | None = None
    other_dataset: str | None = None

    @property
    def studies(self) -> dict[str, Study]:
        """Return each figure's study."""
        return {name: figure.study(self.choice(figure)) for name, figure in self.figures.items()}

    def choice(self, figure: Figure) -> Shown:
        """Return what a figure is to show."""
        if isinstance(figure, OwnFigure):
            return Shown((), self.members)
        own = own_names(self.members).get(figure.compares, ())
        names = figure.names_on(self.other_dataset is not None)
        if figure.compares == "criterion":
            asked = self.criteria
        else:
            asked = tuple(name for name in (*names, *own) if name in self.shown)
        if set(asked) & set(own):
            return Shown(tuple(dict.fromkeys(asked)), self.members)
        return Shown(tuple(dict.fromkeys((*(asked or names), *own))), self.members)

    def experiment(self, progress: bool) -> Experiment:
        """Return the protocol with its data, which is loaded here unless it was before.

        Raises DataError; UsageError if the other data set is the same, or not like it.
        """
        data = self.data or datasets.load(self.protocol.dataset, data_dir=self.data_dir, progress=progress)
        own = None if self.own_network is None else self.own_network.network(data.classes)
        experiment = Experiment(self.protocol, data, own_network=own)
        return with_other_data(experiment, self.other_dataset, self.data_dir, progress)


def reproduce(request: FigureRequest, dry_run: bool) -> int:
    """Train what is missing, draw the figures and print their summaries. Returns the exit status.

    Raises UsageError, StoreError or DataError before anything is trained.
    """
    console = Screen()
    studies = request.studies
    study = reduce(Study.__or__, studies.values())
    experiment = request.experiment(console.is_terminal)
    check_steps(experiment, study)
    _check_rewinding(experiment, study)
    if not dry_run:
        optional = ["figures"] * (request.shard is None) + ["compressed"] * bool(study.of(CompressionRun))
        for folder in ["", "arrays", UNFINISHED, *optional]:
            check_folder("results", request.results / folder)
    with Store(request.results, for_reading=True) as store:
        portion = Portion.of(experiment, study, request.shard)
        load = workload(experiment, portion.study, store, portion.wanted)
        missing = portion.wanted - store.known(portion.wanted)
    if missing:
        shown = {name for figure in request.figures.values() for name in request.choice(figure).names}
        shown |= {member.name for member in own_members_of(study)}
        try_members([member for member in request.members.own if member.name in shown], experiment)
    console.print(_announcement(experiment, study, load, request))
    if dry_run:
        speed = _measured(console, experiment) if missing else StepSeconds(0.0, 0.0)
        _print_price(console, price(experiment, portion.study, missing), speed)
        return 0
    if failures := _make(request, portion, load, console):
        for failure in failures:
            console.print(f"failed: {failure}", soft_wrap=True)
        console.print("all else is stored; the same command tries again what is missing")
        return 1
    if request.shard is not None:
        _print_what_to_merge(console, request)
        return 0
    with Store(request.results, for_reading=True) as store:
        for name, figure in request.figures.items():
            _draw(console, request, figure, Results(experiment, studies[name], store, request.choice(figure)))
    return 0


def _measured(console: Screen, experiment: Experiment) -> StepSeconds:
    """Measure this machine, and announce it, since compiling alone can take ten seconds."""
    doing = f"measuring this machine by a short training of {experiment.protocol.network}: up to {SECONDS:.0f} seconds"
    console.print(doing)
    with console.status(doing) as status:
        return measure(experiment, lambda now: status.update(f"measuring this machine: {now}"))


def _make(request: FigureRequest, portion: "Portion", load: Workload, console: Screen) -> list[str]:
    """Train what is missing; return descriptions of failures. Finds workers before it creates the results folder."""
    with ExitStack() as stack:
        cluster = None
        if request.cluster is not None and load.work:
            cluster = stack.enter_context(connected(request.cluster))
        store = stack.enter_context(Store(request.results))
        try:
            with JobProgress(load, console) as progress:
                if cluster is not None:
                    return _run_on_cluster(request, cluster, portion, store, progress)
                with Stop() as stop:
                    runner.run(portion.experiment, portion.study, Only(store, portion.wanted), progress.watch, stop)
        except KeyboardInterrupt:
            now = workload(portion.experiment, portion.study, store, portion.wanted)
            console.print(
                f"stopped; stored in {request.results}: {now}. The same command goes on from there.",
            )
            raise
    return []


def _draw(console: Screen, request: FigureRequest, figure: Figure, results: Results) -> None:
    """Write a figure's table and pictures, and print its summary."""
    table, experiment = figure.tabulate(results), results.experiment
    paths = write(figure, request.choice(figure), table, experiment, request.results / "figures", request.look)
    paths += write_page(figure, results, paths[0])
    _print_summary(console, figure, figure.summarise(table), paths)
    if number := diverged(table):
        console.print(f"{number} of these {len(table)} diverged: their loss is not a number")
    if number := collapsed(table, experiment.data.classes):
        console.print(f"{number} of these {len(table)} collapsed: their loss is never below that of a guess")


@dataclass(frozen=True)
class Portion:
    """The part of a study that this call makes: its runs, seeds and wanted results."""

    experiment: Experiment
    study: Study
    wanted: frozenset[str]

    @classmethod
    def of(cls, experiment: Experiment, study: Study, shard: Shard | None) -> "Portion":
        """Return all of the study, or a shard of it."""
        if shard is None:
            return cls(experiment, study, ids_needed(experiment, study))
        dealt = deal(experiment, study, shard)
        wanted = frozenset(id_ for unit in dealt for id_ in unit.ids)
        return cls(replace(experiment, chosen=seeds_of(dealt)), together(dealt), wanted)


def _run_on_cluster(
    request: FigureRequest, connection: Connection, portion: Portion, store: Store, progress: JobProgress
) -> list[str]:
    """Run the portion on a cluster; return descriptions of failures."""
    from supermask.analysis.running.cluster.client import run_on
    from supermask.analysis.running.cluster.sending import SentNetwork
    from supermask.analysis.running.cluster.worker import Setting

    own = request.own_network
    setting = Setting(
        portion.experiment.protocol,
        portion.experiment.data.digest,
        portion.experiment.parameters,
        request.data_dir and request.data_dir.absolute(),
        connection.source.devices,
        connection.source.kind == "local",
        None if request.plugin is None else (request.plugin.name, read_regular(request.plugin)),
        None if own is None else SentNetwork(own.path.name, own.called, own.content),
    )
    work = connection.client, setting, portion.experiment, portion.study, store, portion.wanted
    with Stop() as stop:
        failures = run_on(*work, progress.watch, stop, connection.watch(progress.say))
    return list(map(str, failures))


def _check_rewinding(experiment: Experiment, study: Study) -> None:
    steps, latest = experiment.training.steps, max((each.rewind_step for each in study.of(Treatment)), default=0)
    if latest > steps:
        raise UsageError(
            f"epochs is {experiment.protocol.epochs:g}, which is {steps} steps of {experiment.data.name}; a treatment "
            f"rewinds to step {latest}: allowed: as many epochs as that takes, or --show for other lines"
        )


def _print_what_to_merge(console: Screen, request: FigureRequest) -> None:
    shards = 0 if request.shard is None else request.shard.count
    console.print(
        f"shard {request.shard} is stored in {request.results}. When all {shards} are, merge their folders into one\n"
        "  supermask results --results ONE --merge OTHER\n"
        "and call the same command there, without --shard: it draws the figures.",
        soft_wrap=True,
    )


def report(request: FigureRequest, papers: Mapping[str, str], output: Path, options: Mapping[str, str]) -> int:
    """Write the report on the stored results and print the verdicts. Returns the exit status.

    `options` are those that name each figure's experiment, as on a command line.

    What is not stored is named, with the command that trains it. Raises UsageError where the page cannot be written, or
    the folder has no results.
    """
    from supermask.analysis.drawing.report import Subject, check_report, write_report

    console = Screen()
    check_report(output)
    check_stored("results", request.results)
    with Store(request.results, for_reading=True) as store:
        experiment = request.experiment(console.is_terminal)
        subjects = [
            Subject(figure, papers[name], request.choice(figure), f"supermask reproduce {name} {options[name]}".strip())
            for name, figure in request.figures.items()
        ]
        sections = write_report(experiment, subjects, store, output)
    rows = [(row["verdict"], row["seeds"], row["sentence"]) for section in sections for row in section.claims]
    for section in sections:
        if section.missing:
            console.print(
                f"{section.name}: {count(section.missing, 'result', ('is', 'are'))} not stored; run {section.command}"
            )
    if rows:
        print_table(console, "Claims", ("verdict", "seeds", "claim"), rows, numbers=False)
    _print_notes(console, request)
    console.print(f"{output}  {output.with_suffix('.md')}", soft_wrap=True)
    return 0


def _print_notes(console: Screen, request: FigureRequest) -> None:
    for note in request.notes:
        console.print(f"note: {note}")


def list_figures(request: FigureRequest, known: Mapping[str, tuple[str, tuple[str, ...]]]) -> int:
    """Print each figure's origin, networks, and needed and stored results. `known`: (paper, networks) by name."""
    console = Screen()
    experiment = request.experiment(console.is_terminal)
    why = lacking(request.results)
    needed = {name: len(ids_needed(experiment, study)) for name, study in request.studies.items()}
    with Store(request.results, for_reading=True) as store:
        missing = {name: missing_results(experiment, s, store) for name, s in request.studies.items()}
        stored = {name: "all" if not n else str(needed[name] - n) for name, n in missing.items()}
    columns = ("figure", "what it is", "title", "networks", "results", "stored")
    rows = [
        (name, known[name][0], figure.title, ", ".join(known[name][1]), str(needed[name]), stored[name])
        for name, figure in request.figures.items()
    ]
    words = label(experiment, reduce(Study.__or__, request.studies.values()))
    console.print(f"for {request.protocol.network} on {experiment.data.name}, protocol {words}:")
    print_table(console, "", columns, rows, numbers=False, lines=False)
    if why:
        console.print(f"nothing is stored in {request.results}: {why}", soft_wrap=True)
    _print_notes(console, request)
    return 0


def _announcement(experiment: Experiment, study: Study, load: Workload, request: FigureRequest) -> str:
    protocol = experiment.protocol
    shard = "" if request.shard is None else f"shard {request.shard}: "
    words = ", ".join([count(protocol.seeds, "seed"), *lengths(experiment, study)])
    return (
        f"{shard}{protocol.network} on {experiment.data.name} ({experiment.data.source}), "
        f"protocol {label(experiment, study)}: {words}\n"
        f"stored in {request.results}: {load}" + "".join(f"\nnote: {note}" for note in request.notes)
    )


def _print_price(console: Screen, own: Price, speed: StepSeconds) -> None:
    """Print the amount of missing work, and its duration on one machine like this or on several."""
    if not own.results:
        console.print("everything is stored: there is nothing to train")
        return
    amounts = (
        f"{count(own.results, 'result')}, {count(round(own.steps), 'network-step')}, "
        f"{own.flops:.2g} floating-point operations, "
        f"{own.stored / 1e6:,.0f} MB to be stored"
    )
    console.print(amounts)
    least = own.longest * speed.alone
    for machines in MACHINES:
        where = "this machine" if machines == 1 else f"{machines:,} such machines"
        console.print(f"about {duration(own.seconds(speed, machines))} on {where}")
        if own.seconds(speed, machines) <= least:
            console.print("which is what the longest run takes: its rounds follow one another")
            break


def _print_summary(console: Screen, figure: Figure, summary: pd.DataFrame, paths: list[Path]) -> None:
    columns = (str(summary.index.name), *map(str, summary.columns))
    rows = [
        (str(name), *(f"{value:.1f}" if value == value else "–" for value in row)) for name, row in summary.iterrows()
    ]
    print_table(console, figure.title, columns, rows)
    console.print("  ".join(str(path) for path in paths), soft_wrap=True)
