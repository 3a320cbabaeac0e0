"""The command `supermask explore`: opens the page on stored results, or after a short training if there are none."""

import webbrowser
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from supermask import datasets
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.explorer.bundle import PRUNING, check_images, make_bundle, seed_run
from supermask.analysis.explorer.server import SiteServer
from supermask.analysis.explorer.single import check_page, write_page
from supermask.analysis.explorer.site import check_target, site_files, write_site
from supermask.analysis.kinds.plan import ids_needed, missing_results, workload
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.running import runner
from supermask.analysis.running.interrupts import Stop
from supermask.analysis.running.progress import JobProgress
from supermask.analysis.store.checkpoints import FOLDER as UNFINISHED
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, Protocol, protocol
from supermask.analysis.system.errors import at_least
from supermask.analysis.system.files import check_folder
from supermask.analysis.system.screen import Screen
from supermask.analysis.system.words import count
from supermask.datasets import DataError, Dataset

FEWEST_SEEDS = 2


@dataclass(frozen=True)
class ExplorerRequest:
    """What to show and where.

    protocol: None selects the best stored results, or `quick` if nothing is stored.
    with_rounds: whether the bundle has the rounds of iterative pruning.
    export: a folder for a site, or an HTML file for a self-contained page. None serves the page on this machine, at
        `port` (0: any free one), and opens it if `browser` is true.
    data: a data set of the user's own, loaded; None for the protocol's.
    """

    protocol: str | None
    changes: Changes
    with_rounds: bool
    data_dir: Path | None
    results: Path
    export: Path | None
    port: int
    browser: bool
    data: Dataset | None = None

    @property
    def seeds(self) -> int:
        """Number of seeds shown."""
        return FEWEST_SEEDS if self.changes.seeds is None else self.changes.seeds


@dataclass(frozen=True)
class Choice:
    """An experiment to show, with its study of iterative pruning; an empty study shows round 0 alone."""

    experiment: Experiment
    study: Study


def explore(request: ExplorerRequest) -> int:
    """Train missing results, make the site, and write or serve it. Returns the exit status.

    Raises UsageError, StoreError or DataError before anything is trained.
    """
    console = Screen()
    at_least("seeds", request.seeds, FEWEST_SEEDS)
    if request.data is not None:
        check_images(request.data)
    if request.export is not None:
        (check_page if _is_page(request.export) else check_target)(request.export)
    else:
        SiteServer({"index.html": b""}, request.port).server_close()  # fails early if the port is taken
    with Store(request.results, for_reading=True) as store:
        choice = choose(request, store, console)
        lacking = bool(missing_results(choice.experiment, choice.study, store))
    if lacking:
        for folder in ("", "arrays", UNFINISHED):
            check_folder("results", request.results / folder)
    with Store(request.results, for_reading=not lacking) as store:
        _train(choice, store, request.results, console)
        results = Results(choice.experiment, choice.study, store, Shown(()))
        runs = [seed_run(results, seed) for seed in choice.experiment.seeds]
    bundle = make_bundle(choice.experiment, choice.experiment.network, runs)
    site = site_files(bundle)
    if request.export is not None and _is_page(request.export):
        size = write_page(site, request.export)
        console.print(
            f"{request.export}: the page in one file, {size / 1e6:.1f} MB; open it in a browser", soft_wrap=True
        )
        return 0
    if request.export is not None:
        size = write_site(site, request.export)
        console.print(f"{request.export}: page and bundle, {size / 1e6:.1f} MB", soft_wrap=True)
        console.print(f"to see it: python -m http.server --directory {request.export}", soft_wrap=True)
        return 0
    return _show(site, request, console)


def _is_page(export: Path) -> bool:
    """Return whether the export is a single file rather than a site's folder."""
    return export.suffix.lower() in (".html", ".htm")


def choose(request: ExplorerRequest, store: Store, console: Screen) -> Choice:
    """Return the requested experiment, or the best that is stored."""
    if request.protocol is None:
        for choice in _stored_choices(request, store):
            console.print(f"showing what is stored: {_named(choice.experiment)}")
            return choice
    chosen = _protocol(request, request.protocol or "quick")
    data = request.data or datasets.load(chosen.dataset, data_dir=request.data_dir, progress=console.is_terminal)
    return Choice(Experiment(chosen, data), _study(request.with_rounds))


def _stored_choices(request: ExplorerRequest, store: Store) -> Iterator[Choice]:
    """Yield choices that need no training, best first: with rounds before without, more epochs before fewer."""
    experiments = []
    for name in ("paper", "short"):
        chosen = _protocol(request, name)
        try:
            data = request.data or datasets.load(chosen.dataset, data_dir=request.data_dir, download=False)
        except DataError:
            continue  # results without their data cannot be shown
        experiments.append(Experiment(chosen, data))
    for with_rounds in (True, False)[0 if request.with_rounds else 1 :]:
        for experiment in experiments:
            study = _study(with_rounds)
            ids = ids_needed(experiment, study)
            if store.known(ids) == ids:
                yield Choice(experiment, study)


def _protocol(request: ExplorerRequest, name: str) -> Protocol:
    """Return the protocol with the number of seeds shown. Showing fewer seeds is no change of protocol."""
    return replace(protocol(name, "fc", replace(request.changes, seeds=None)), seeds=request.seeds)


def _study(with_rounds: bool) -> Study:
    return Study((Unpruned(), *((PRUNING,) if with_rounds else ())))


def _train(choice: Choice, store: Store, folder: Path, console: Screen) -> None:
    load = workload(choice.experiment, choice.study, store)
    trainings = load.counts["training"]
    if trainings.needed == trainings.stored:
        return
    console.print(
        f"{count(trainings.needed - trainings.stored, 'training', ('is', 'are'))} not in {folder} yet; training first: "
        f"{_named(choice.experiment)}. They are stored, and figures share them.",
    )
    try:
        with JobProgress(load, console) as progress, Stop() as stop:
            runner.run(choice.experiment, choice.study, store, progress.watch, stop)
    except KeyboardInterrupt:
        console.print(
            f"stopped; what was finished is stored in {folder}. The same command goes on from there.",
            soft_wrap=True,
        )
        raise


def _named(experiment: Experiment) -> str:
    chosen = experiment.protocol
    return f"FC on {experiment.data.name} ({experiment.data.source}), protocol {chosen.label}, {chosen.seeds} seeds"


def _show(site: dict[str, bytes], request: ExplorerRequest, console: Screen) -> int:
    with SiteServer(site, request.port) as server:
        try:
            console.print(f"{server.url}  (Ctrl-C ends it)", soft_wrap=True)
            if request.browser:
                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("ended")
    return 0
