"""Kills at random moments: no stored result lost, none double, and the same table to the bit as without them."""

import contextlib
import multiprocessing
import os
import random
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from test_cli import count, stored

from supermask.analysis.command.verify import verify

STUDY = [
    *("reproduce", "mask-criteria", "--dataset", "digits", "--criteria", "large_final", "random", "magnitude_increase"),
    *("--epochs", "0.5", "--rounds", "12", "--seeds", "1", "--devices", "1"),
]


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "supermask.analysis.command.cli",
        "supermask.analysis.command.reproduce",
        "supermask.analysis.drawing.plots",
        "supermask.figures.mask_criteria",
    ]
)
"""Processes begin with the imports done, which take longer than the study; all else is done anew."""


def study(folder: Path, cache: Path) -> None:
    """One call of the command, as a process of its own."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    from supermask.analysis.command.cli import run_command
    from supermask.figures.catalogue import CATALOGUE

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        sys.exit(run_command([*STUDY, "--results", str(folder)], CATALOGUE))


def started(folder: Path, cache: Path) -> multiprocessing.process.BaseProcess:
    process = PROCESSES.Process(target=study, args=(folder, cache))
    process.start()
    return process


@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(50, marks=pytest.mark.long)])
def test_kills_at_random_moments_lose_nothing(tmp_path, alive, kills):
    """A kill comes up to 0.3 seconds after the moment at which up to three more rounds are stored."""
    chance = random.Random(kills)  # noqa: S311
    straight = tmp_path / "straight"
    assert ended(started(straight, tmp_path / "cache")) == 0
    expected = stored(straight)
    assert len(expected) == 1 + 3 * 12
    done = folders = 0
    while done < kills or folders == 0:
        folder = tmp_path / f"killed-{folders}"
        before = 0
        while True:
            alive()
            process = started(folder, tmp_path / "cache")
            if done < kills:
                enough = before + 3 * chance.randrange(4)
                wait_for(lambda: count(folder) >= enough or not process.is_alive())  # noqa: B023
                time.sleep(chance.random() * 0.3)
            if done == kills or not process.is_alive():
                assert ended(process) == 0
                break
            process.kill()
            ended(process)
            done += 1
            left = kept(folder)
            assert left >= before, "what was stored is there"
            before = left
            assert not before or not verify(folder).damages
        assert stored(folder).equals(expected)
        assert not verify(folder).damages
        for path in (straight / "figures").glob("*.csv"):
            assert (folder / "figures" / path.name).read_bytes() == path.read_bytes()
        folders += 1
    print(f"{done} kills, {folders} studies finished, {folders * len(expected)} results, none lost", file=sys.stderr)


def kept(folder: Path) -> int:
    """Results that are stored once the next to open the database has undone what a kill cut short.

    A connection that only reads cannot undo it, and sees nothing: that will do only for waiting.
    """
    if not (folder / "results.sqlite").exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=rw", uri=True)) as database:
        if not database.execute("SELECT name FROM sqlite_master WHERE name = 'results'").fetchall():
            return 0
        found: int = database.execute("SELECT count(*) FROM results").fetchone()[0]
    return found


def ended(process: multiprocessing.process.BaseProcess) -> int | None:
    process.join(300)
    return process.exitcode


def wait_for(condition, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happens"
        time.sleep(0.01)
