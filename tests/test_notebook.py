"""Studies without a command line: described, run, interrupted, drawn and judged from Python, as in a notebook."""

import asyncio
import re
import signal
from pathlib import Path

import pytest

import supermask as sm
from supermask.analysis.drawing import notebook as nb
from supermask.analysis.drawing.shown import Shown
from supermask.analysis.system.errors import UsageError
from supermask.figures.mask_criteria import FIGURE

(EXAMPLE,) = re.findall(
    r"```python\n(.*?)```", (Path(__file__).parents[1] / "docs" / "own-study.md").read_text(encoding="utf-8"), re.S
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The page's example, run in a folder of its own inside a running event loop, as a notebook runs it."""
    folder = tmp_path_factory.mktemp("study")
    before = signal.getsignal(signal.SIGINT)
    space: dict[str, object] = {}

    async def cell():
        exec(compile(EXAMPLE, "example", "exec"), space)  # noqa: S102
        await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        asyncio.run(cell())
    assert signal.getsignal(signal.SIGINT) is before, "handlers are as they were"
    return folder, space


def plan_of(folder, *runs):
    return nb.describe(runs, folder / "results", dataset="digits", seeds=3, rounds=3, epochs=3)


def test_a_study_of_ones_own_is_a_file_of_forty_lines(ended):
    folder, space = ended
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 40
    table = space["table"]
    assert set(table["criterion"]) == {"unpruned", "movement", "stayed", "random"}
    assert len(table) == 3 * (1 + 3 * 3)
    assert not table.isna().any().any()
    verdict = space["verdict"]
    assert verdict.seeds == 3
    assert verdict.effect > 0, "weights that moved make better tickets"
    svg = (folder / "stayed.svg").read_text()
    assert all(word in svg for word in ("movement", "stayed", "random", "digits"))
    assert space["plan"].missing == 0


def test_what_is_stored_is_not_trained_again_and_serves_other_studies(ended, monkeypatch):
    folder, space = ended
    shared = plan_of(folder, *space["treatments"][:1])
    assert shared.missing == 0
    monkeypatch.setattr("supermask.training.Trainer.train", lambda *_: pytest.fail("trained again"))
    nb.run(shared)
    assert str(shared.load) == "12 of 12 trainings"
    figure = plan_of(folder, *FIGURE.study(Shown(("movement", "random"))).runs)
    assert figure.missing == 0
    picture = nb.draw(nb.table(figure, FIGURE.tabulate), figure, figure=FIGURE.draw)
    assert len(picture.axes) == 2


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
