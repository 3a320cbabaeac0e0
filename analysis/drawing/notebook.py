"""Studies in Python or a notebook, without a command line: describe, run, table, picture, verdict.

    from supermask.analysis.drawing import notebook as nb

    plan = nb.describe([sm.treatment(sm.movement), sm.treatment(sm.random)], "results", dataset="digits", rounds=3)
    nb.run(plan)  # trains what the folder lacks; Ctrl-C stops it, and the same line goes on from there
    table = nb.table(plan)
    nb.draw(table)
    nb.judge(claim, table)

Results are those of the command `supermask reproduce`: in one folder, each serves both.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from supermask import datasets
from supermask.analysis.drawing.claims import Claim as Claim
from supermask.analysis.drawing.claims import Judgement as Judgement
from supermask.analysis.drawing.claims import judge as judge
from supermask.analysis.drawing.claims import judge_all
from supermask.analysis.drawing.figure import Drawing, caption_of
from supermask.analysis.drawing.frame import Frame, Picture, settings
from supermask.analysis.drawing.own_figures import Lines
from supermask.analysis.drawing.own_figures import figure as figure
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.plan import Workload, missing_results, workload
from supermask.analysis.running import runner
from supermask.analysis.running.interrupts import Stop
from supermask.analysis.running.notebook_bar import notebook_bar
from supermask.analysis.running.progress import JobProgress
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import PROTOCOLS, Changes, protocol
from supermask.analysis.studies.recipes import read_recipe
from supermask.analysis.system.errors import choose
from supermask.analysis.system.words import count
from supermask.datasets import Dataset
from supermask.recipe import Recipe


@dataclass(frozen=True, repr=False)
class Plan:
    """A study and where its results go: what `describe` returns.

    drawing: the figure that was described, whose table, picture and claims are the plan's; None for mere runs.
    """

    experiment: Experiment
    study: Study
    folder: Path
    drawing: Drawing | None = None

    def __repr__(self) -> str:
        number = count(len(self.study.runs), "run")
        network, data = self.experiment.protocol.network, self.experiment.data.name
        return f"Plan({number} of {network} on {data}, protocol {self.experiment.protocol.label}, in {self.folder})"

    @property
    def missing(self) -> int:
        """Number of results that are not stored yet."""
        with Store(self.folder, for_reading=True) as store:
            return missing_results(self.experiment, self.study, store)

    @property
    def load(self) -> Workload:
        """What is stored and what is missing, by kind; printed as a sentence."""
        with Store(self.folder, for_reading=True) as store:
            return workload(self.experiment, self.study, store)


def describe(
    runs: Drawing | Study | Sequence[Hashable],
    folder: str | Path = "results",
    *,
    base: str = "quick",
    network: str = "fc",
    dataset: str | Dataset | None = None,
    other_dataset: str | Dataset | None = None,
    seeds: int | None = None,
    rounds: int | None = None,
    epochs: float | None = None,
    recipe: Recipe | str | Path | None = None,
    ranking: str | None = None,
    data_dir: str | Path | None = None,
) -> Plan:
    """Describe a study: its runs, in an experiment. Its data is loaded; nothing is trained.

    runs: a figure, yours (`figure`) or one of `supermask.figures`; or treatments (`supermask.treatment`) and runs of
        other kinds.
    folder: of results, made when they are.
    base: the protocol that the other arguments change: 'quick', 'short' or 'paper'.
    network: a name of the toolkit's own.
    dataset: a name of the toolkit's own, a file or folder of yours, or what `datasets.from_arrays` returns.
    other_dataset: a second one, for a figure that takes tickets from there as well.
    seeds, rounds, epochs: numbers in place of the protocol's.
    recipe: how weights are trained, or its TOML file; by default as in the protocol.
    ranking: of the rounds, 'layer' or 'global': see `Treatment`.
    data_dir: the folder of downloaded data.

    Raises UsageError for names and numbers that are not allowed, DataError where the data cannot be had.
    """
    choose("base", base, PROTOCOLS)
    own = read_recipe(Path(recipe)) if isinstance(recipe, str | Path) else recipe
    name = dataset.name if isinstance(dataset, Dataset) else dataset
    chosen = protocol(base, network, Changes(name, seeds, rounds, epochs, recipe=own, ranking=ranking))
    where = None if data_dir is None else Path(data_dir)

    def loaded(given: str | Dataset) -> Dataset:
        return given if isinstance(given, Dataset) else datasets.load(given, data_dir=where)

    other = None if other_dataset is None else loaded(other_dataset)
    data = loaded(chosen.dataset if dataset is None else dataset)
    experiment = Experiment(chosen, data, other_data=other)
    place = Path(folder).absolute()
    if isinstance(runs, Drawing):
        return Plan(experiment, runs.study(Shown(runs.names_on(other is not None))), place, runs)
    return Plan(experiment, runs if isinstance(runs, Study) else Study(tuple(dict.fromkeys(runs))), place)


def run(plan: Plan) -> None:
    """Train and evaluate what the folder lacks; show progress, in Jupyter by a bar.

    The first Ctrl-C, or Jupyter's stop button, lets what is under way be finished and stored, and then raises
    KeyboardInterrupt; the second stops at once. What is stored stays: the same call goes on from there. It may be
    called inside a running event loop, as in a notebook, which waits meanwhile.
    """
    with Store(plan.folder) as store:
        load = workload(plan.experiment, plan.study, store)
        with JobProgress(load, Console(), bar=notebook_bar()) as progress, Stop() as stop:
            runner.run(plan.experiment, plan.study, store, progress.watch, stop)


def table(plan: Plan, tabulate: Callable[[Results], pd.DataFrame] | None = None) -> pd.DataFrame:
    """Return the study's results as a tidy table.

    tabulate: one of the methods of `Results`, such as `Results.sparse_trainings`, or a function of one's own. By
        default that of the plan's figure; of mere runs there is a row for each training of the rounds, and round 0 is
        there once a seed, as criterion 'unpruned'.

    Raises ValueError where results are missing: `run` makes them.
    """
    if number := plan.missing:
        raise ValueError(f"plan lacks {number} results in folder {str(plan.folder)!r}; allowed after run(plan)")
    own: Callable[[Results], pd.DataFrame] = Results.trainings
    names: tuple[str, ...] = ()
    if plan.drawing is not None:
        own, names = plan.drawing.tabulate, plan.drawing.names_on(plan.experiment.other_data is not None)
    with Store(plan.folder, for_reading=True) as store:
        return (tabulate or own)(Results(plan.experiment, plan.study, store, Shown(names)))


def verdicts(plan: Plan) -> list[Judgement]:
    """Judge the claims of the plan's figure on its results; there are none for mere runs.

    Raises ValueError where results are missing.
    """
    return judge_all(() if plan.drawing is None else plan.drawing.claims, table(plan))


def draw(
    table: pd.DataFrame,
    plan: Plan | None = None,
    *,
    by: str = "criterion",
    value: str = "test_accuracy",
    title: str = "",
    figure: Callable[[pd.DataFrame, Frame], Picture] | None = None,
) -> Picture:
    """Draw a table: as the plan's figure does, or means over seeds, with bands, against the weights remaining.

    plan: the study, for the caption.
    by, value, title: of mere runs: the column whose members have a line each, what is drawn, a fraction, in percent,
        and the picture's title.
    figure: draws the table in a frame, in place of all that.

    Returns Matplotlib's figure, which a notebook shows, and whose `savefig` writes it.

    Raises ValueError for columns that the table does not have.
    """
    import matplotlib

    own = None if plan is None or plan.drawing is None else plan.drawing.draw
    frame = Frame("" if plan is None else caption_of(plan.experiment, plan.study, table))
    look: Any = settings(frame)
    with matplotlib.rc_context(look):
        return (figure or own or Lines(by, value, title))(table, frame)
