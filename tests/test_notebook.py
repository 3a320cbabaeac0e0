"""Studies without a command line: described, run, interrupted, drawn and judged from Python, as in a notebook."""

import asyncio
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from test_site import commands_of

import supermask as sm
from supermask import datasets
from supermask.analysis.command.cli import run_command
from supermask.analysis.drawing import notebook as nb
from supermask.analysis.drawing.captions import caption
from supermask.analysis.drawing.report import Subject, write_report
from supermask.analysis.drawing.results import Shown
from supermask.analysis.kinds.plan import ids_needed
from supermask.analysis.running.cluster.sending import packed, unpacked
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Study
from supermask.analysis.studies.plugin_files import load_plugin
from supermask.analysis.system.errors import UsageError
from supermask.figures.catalogue import CATALOGUE
from supermask.figures.mask_criteria import FIGURE
from supermask.named_members import BUILT_IN
from supermask.recipe import Recipe

FILE, EXAMPLE = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[1] / "docs" / "own-study.md").read_text(encoding="utf-8"), re.S
)
COMMANDS = [words for words in commands_of("docs/own-study.md") if words[0] == "supermask"]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The page's example, run in a folder of its own inside a running event loop, as a notebook runs it."""
    folder = tmp_path_factory.mktemp("study")
    before = signal.getsignal(signal.SIGINT)
    space: dict[str, object] = {}
    (folder / "study.py").write_text(FILE)

    async def cell():
        exec(compile(EXAMPLE, "example", "exec"), space)  # noqa: S102
        await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        asyncio.run(cell())
    sys.modules.pop("study")
    assert signal.getsignal(signal.SIGINT) is before, "handlers are as they were"
    return folder, space


def plan_of(folder, *runs):
    return nb.describe(runs, folder / "results", dataset="digits", seeds=3, rounds=3, epochs=3)


def test_a_study_of_ones_own_is_a_file_of_forty_lines(ended):
    folder, space = ended
    assert len(FILE.splitlines()) <= 40
    table = space["table"]
    assert set(table["criterion"]) == {"unpruned", "movement", "stayed", "random"}
    assert len(table) == 3 * (1 + 3 * 3)
    assert not table.isna().any().any()
    (verdict,) = nb.verdicts(space["plan"])
    assert verdict.seeds == 3
    assert verdict.effect > 0, "weights that moved make better tickets"
    svg = (folder / "stayed.svg").read_text()
    assert all(word in svg for word in ("movement", "stayed", "random", "digits"))
    assert space["plan"].missing == 0


def test_what_is_stored_is_not_trained_again_and_serves_other_studies(ended, monkeypatch):
    folder, space = ended
    shared = plan_of(folder, *space["moved_or_stayed"].runs[:1])
    assert shared.missing == 0
    monkeypatch.setattr("supermask.training.Trainer.train", lambda *_: pytest.fail("trained again"))
    nb.run(shared)
    assert str(shared.load) == "12 of 12 trainings"
    drawing = replace(FIGURE, names=("movement", "random"))
    figure = nb.describe(drawing, folder / "results", dataset="digits", seeds=3, rounds=3, epochs=3)
    assert figure.missing == 0
    picture = nb.draw(nb.table(figure), figure)
    assert len(picture.axes) == 2
    assert "kept" not in nb.table(figure), "as the figure tabulates"
    assert [found.claim.first["criterion"] for found in nb.verdicts(figure)] == ["movement"]


def test_the_command_takes_the_same_file_as_one_more_figure(ended, monkeypatch, capsys):
    """Trained, drawn, judged, drawn again, listed and refused by name, as the figures of the papers are."""
    folder, _ = ended
    monkeypatch.chdir(folder)
    assert [words[1] for words in COMMANDS] == ["reproduce", "report", "redraw"]
    for words in COMMANDS:
        files = [str(path.relative_to(folder)) for word in words for path in folder.glob(word) if "*" in word]
        arguments = [words[1], *files, *(word for word in words[2:] if "*" not in word)]
        assert run_command(arguments, CATALOGUE) == 0, capsys.readouterr().err
    (table,) = (folder / "results" / "figures").glob("moved-or-stayed*.csv")
    assert set(pd.read_csv(table)["criterion"]) == {"unpruned", "movement", "stayed", "random"}
    page = (folder / "results" / "report.html").read_text()
    assert "weights that moved make better tickets than those that stayed" in page
    assert "supermask reproduce moved-or-stayed --seeds 3" in page
    assert run_command(["check-plugin", "study.py"], CATALOGUE) == 0
    assert "moved-or-stayed: a figure of 3 runs" in capsys.readouterr().out
    assert run_command(["figures", "moved-or-stayed"], CATALOGUE) == 2
    assert "figure 'moved-or-stayed' is unknown; choose from" in capsys.readouterr().err
    taken = folder / "taken.py"
    taken.write_text(FILE.replace('"moved-or-stayed"', '"mask-criteria"'))
    assert run_command(["figures", "--plugin", "taken.py"], CATALOGUE) == 2
    assert "figure's name is 'mask-criteria', a name that is taken" in capsys.readouterr().err


def test_a_figure_holds_its_criteria_as_the_file_defines_them(tmp_path):
    """Bare functions as well, once however many treatments share one; and results are named by the file's content."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import supermask as sm\nfrom supermask.analysis.drawing.own_figures import figure\n"
        "def moved(w_initial, w_final):\n    'Moved.'\n    return abs(w_final - w_initial)\n"
        "mine = figure('mine', [sm.treatment(moved), sm.treatment(moved, kept=sm.reinit), "
        "sm.treatment(sm.power(1, -1))])\n"
    )
    plugin = load_plugin(file)
    assert [member.name for member in plugin.members()] == ["moved"]
    (figure,) = plugin.figures
    members = BUILT_IN.plus(*plugin.members())
    runs = figure.study(Shown((), members)).runs
    assert [run.criterion.source for run in runs[:2]] == [plugin.criteria[0].source] * 2
    assert runs[1].kept.name == "reinit"
    assert runs[2].criterion == sm.power(1, -1)
    assert unpacked(packed(Study(runs)), members).runs == runs, "and workers that ran the file know them"


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (("Mine", [sm.treatment()]), ValueError, "name is 'Mine'; allowed: words of lower-case letters"),
        (("mine", []), ValueError, "runs is empty; allowed: at least one run"),
        (("mine", [sm.large_final]), TypeError, "run is <function large_final.*; allowed: instances of"),
    ],
)
def test_a_figure_that_cannot_be_is_refused_by_name(given, error, words):
    with pytest.raises(error, match=words):
        nb.figure(*given)


def test_an_interrupted_run_keeps_what_it_has_and_goes_on(tmp_path, monkeypatch):
    """As Jupyter's stop button: SIGINT to the main thread, which lets what is under way be stored."""
    plan = nb.describe(
        [sm.treatment(sm.large_final)], tmp_path / "results", dataset="digits", seeds=1, rounds=3, epochs=1
    )
    heard = []

    def watch(self, done):
        if done.results and not heard:
            heard.append(done.results)
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(nb.JobProgress, "watch", watch)
        with pytest.raises(KeyboardInterrupt):
            nb.run(plan)
    assert heard
    with pytest.raises(ValueError, match=r"plan lacks \d results in folder .*; allowed after run\(plan\)"):
        nb.table(plan)
    nb.run(plan)
    assert nb.table(plan)["round"].tolist() == [0, 1, 2, 3]


def test_what_cannot_be_is_refused_by_name(ended, tmp_path):
    _, space = ended
    with pytest.raises(UsageError, match="base"):
        nb.describe([sm.treatment()], tmp_path, base="slow")
    with pytest.raises(ValueError, match="table has no column 'loss'; it has dataset"):
        nb.draw(space["table"], value="loss")


def test_a_plan_takes_data_as_it_is_and_is_shown_in_a_line(tmp_path):
    digits = datasets.load("digits")
    plan = nb.describe(FIGURE, tmp_path, dataset=digits, other_dataset=digits, seeds=2, rounds=1)
    assert plan.experiment.data is plan.experiment.other_data is digits
    assert ids_needed(plan.experiment, plan.study) == ids_needed(
        (by_name := nb.describe(FIGURE, tmp_path, dataset="digits", seeds=2, rounds=1)).experiment, by_name.study
    )
    number = len(plan.study.runs)
    assert repr(plan) == (
        f"Plan({number} runs of fc on digits, protocol quick (changed: dataset, rounds, seeds), in {tmp_path})"
    )
    pairs = [(split.images[:90], split.labels[:90]) for split in (digits.train, digits.test)]
    own = datasets.from_arrays(*pairs, name="beetles")
    assert "on a data set of one's own" not in repr(plan)
    mine = nb.describe(FIGURE, tmp_path, dataset=own, seeds=2, rounds=1)
    assert ids_needed(mine.experiment, mine.study).isdisjoint(ids_needed(plan.experiment, plan.study))
    assert caption(mine.experiment, mine.study).startswith("FC on beetles")


def test_what_learned_nothing_is_counted_in_every_caption(tmp_path):
    """In a notebook and in the report, as in a picture's file; nothing is learned at this rate."""
    drawing = replace(FIGURE, names=("random",))
    slow = Recipe(optimiser="sgd", learning_rate=1e-6)
    plan = nb.describe(drawing, tmp_path, dataset="digits", seeds=1, rounds=1, epochs=1, recipe=slow)
    nb.run(plan)
    table, said = nb.table(plan), "2 of 2 collapsed: they learned nothing"
    drawn = nb.draw(table, plan)
    assert said in " ".join(text.get_text() for text in drawn.texts).replace("\n", " ")
    figure = drawing.named("mask-criteria", "Mask criteria")
    with Store(tmp_path) as store:
        subject = Subject(figure, "", Shown(figure.names), "")
        (section,) = write_report(plan.experiment, [subject], store, tmp_path / "page.html")
    assert said in section.caption
    assert said in (tmp_path / "page.md").read_text()
