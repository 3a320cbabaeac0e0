"""The command as a person uses it: help, mistakes, the whole job, interruptions."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED
from supermask.analysis.running.interrupts import INTERRUPTED
from supermask.figures.catalogue import CATALOGUE

COMMAND = [sys.executable, "-c", "from supermask.figures.command import main; main()"]
NAMES = ["criteria-plane", "mask-criteria", "supermasks-at-init"]
SMALL = ["--dataset", "digits", "--epochs", "4", "--rounds", "2", "--seeds", "2"]


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300, **options)


def stored(folder: Path) -> pd.DataFrame:
    """Every result without what differs from run to run: when, how long, made with what."""
    with sqlite3.connect(folder / "results.sqlite") as database:
        table = pd.read_sql("SELECT id, description, metrics, arrays_sha256 FROM results ORDER BY id", database)
    database.close()
    return table


def test_help_comes_at_once_and_imports_nothing_heavy():
    program = (
        "import sys; from supermask.figures.command import main\n"
        "try: main()\n"
        "finally: print(sorted({'jax', 'flax', 'numpy', 'pandas', 'matplotlib', 'rich'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", program, "reproduce", "--help"]
    shown = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown.endswith("[]\n")
    assert "examples:" in shown
    for name in CATALOGUE:
        assert name in shown


@pytest.mark.slow
def test_the_catalogue_is_listed_with_what_is_stored(straight):
    shown = run("figures", *SMALL, "--results", str(straight), env=os.environ | {"COLUMNS": "250"}, check=True).stdout
    for name, entry in CATALOGUE.items():
        (line,) = [line for line in shown.splitlines() if line.startswith(f"{name} ")]
        assert entry.paper in line
        assert line.rstrip().endswith("all") == (name in NAMES or name == "weight-movement")


def test_every_entry_loads_the_figure_of_its_name():
    for name, entry in CATALOGUE.items():
        assert entry.load().name == name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["reproduce", "mask-criterion"],
            "figure 'mask-criterion' is unknown (did you mean mask-criteria?); choose from",
        ),
        (["reproduce", "--protocol", "papre"], "protocol 'papre' is unknown (did you mean paper?); choose from: quick"),
        (["reproduce", "--network", "conv3"], "network 'conv3' is unknown (did you mean conv"),
        (["reproduce", "--criteria", "large"], "criterion 'large' is unknown"),
        (["reproduce", "--criteria", "magnitude_incease"], "(did you mean magnitude_increase?)"),
        (["reproduce", "criteria-plane", "--criteria", "snip"], "criteria has snip"),
        (["reproduce", "mask-1-actions", "--show", "rewinds"], "show 'rewinds' is unknown (did you mean rewind?)"),
        (["reproduce", "learned-supermasks", "--show", "random, S.C."], "show names no learned mask"),
        (["reproduce", "mask-criteria", "--show", "random"], "show is given, but mask-criteria would not change by it"),
        (["reproduce", "--mask-epochs", "-1"], "mask-epochs is -1.0; allowed: 0 to 1,000,000"),
        (["reproduce", "--dataset", "minst"], "dataset 'minst' is unknown (did you mean mnist?); choose from: digits"),
        (["reproduce", "--seeds", "0"], "seeds is 0; allowed: 1 to 10,000"),
        (["reproduce", "--sparse-epochs", "-1"], "sparse-epochs is -1.0; allowed: 0 to 1,000,000"),
        (
            ["reproduce", "deep-compression", "--network", "conv2"],
            "figure deep-compression is made for fc and lenet5 alone; network is 'conv2'",
        ),
        (["reproduce", "--seeds", "many"], "argument --seeds: 'many' is no whole number"),
        (["reproduce", "--seeds", "1_0"], "argument --seeds: '1_0' is no whole number"),
        (["reproduce", "--epochs", "1_0"], "argument --epochs: '1_0' is no number"),
        (["reproduce", "--rates", "dense=0.0_5"], "rates has 'dense=0.0_5'; it should read like dense=0.2"),
        (["results", "--csv", "-"], "argument --csv: is -, which is no path here; allowed: a path, such as"),
        (["reproduce", "--rounds", "-3"], "rounds is -3; allowed: 1 to 1,000"),
        (["reproduce", "--rates", "dense=1.5"], "rates.dense is 1.5; allowed: 0 <= fraction < 1"),
        (["reproduce", "--rates", "0.2"], "rates '0.2' is unknown"),
        (["reproduce", "--shard", "3/2"], "shard is '3/2'; allowed: 1/2 to 2/2"),
        (
            ["reproduce", "lottery-tickets", "--dataset", "digits", "--epochs", "1"],
            "epochs is 1, which is 19 steps of digits; a treatment rewinds to step 50",
        ),
        (["reproduce", "--devices", "0"], "devices is 0; allowed: 1 or more"),
        (["report", "mask"], "figure 'mask' is unknown"),
        (["report", "--output", "/nowhere/report.html"], "output '/nowhere/report.html' cannot be written"),
        (["reproduce", "--plugin", "none.py"], "plugin none.py cannot be read"),
        (["reproduce", "--devices", "4096"], "devices is 4096; allowed: 1 to"),
        (
            ["reproduce", "--results", "/dev/null/results"],
            "results '/dev/null/results' cannot be written to: /dev/null is not a folder",
        ),
        (["bench", "resnet"], "work 'resnet' is unknown"),
        (["bench", "--pairs", "0"], "pairs is 0; allowed: 1 or more"),
        (["bench", "--steps", "0"], "steps is 0; allowed: 1 or more"),
        (["bench", "--json", "/nowhere/bench.json"], "json '/nowhere/bench.json' cannot be written"),
        (["explode"], "invalid choice: 'explode'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_allowed(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", set_up_nothing)
    assert run_command(arguments, CATALOGUE) == MISUSED
    said = capsys.readouterr()
    assert said.err.startswith("supermask: error: ")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "results" / "results.sqlite").exists() or "criteria has" in message or "rewinds" in message


def set_up_nothing(devices: int | None = None) -> None:
    """The checks of the real one, without what may be set only once in a process."""
    from supermask.analysis.system.errors import UsageError, at_least

    if devices is not None:
        at_least("devices", devices, 1)
        if devices > 64:
            raise UsageError(f"devices is {devices}; allowed: 1 to 64, the cores of this machine")


def test_data_that_is_nowhere_is_an_error_that_helps(tmp_path):
    arguments = [
        "reproduce",
        "--protocol",
        "short",
        "--data-dir",
        str(tmp_path / "none"),
        "--results",
        str(tmp_path / "r"),
    ]
    ended = run(*arguments)
    assert ended.returncode != 0
    assert "none" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_a_dry_run_trains_nothing_and_says_what_it_would(tmp_path):
    ended = run("reproduce", "mask-criteria", *SMALL, "--dry-run", "--results", str(tmp_path / "new"), check=True)
    words = " ".join(ended.stdout.split())
    assert "0 of 46 trainings" in words, "2 seeds × (1 + 2 rounds × 11 criteria)"
    assert "46 results" in words
    assert "floating-point operations" in words
    assert "on this machine" in words
    assert "on 2 such machines" in words
    assert list(tmp_path.iterdir()) == [], "not even a folder is made"


@pytest.mark.slow
def test_a_shard_is_trained_and_nothing_is_drawn(tmp_path):
    ended = run("reproduce", "mask-criteria", *SMALL, "--shard", "2/2", "--results", str(tmp_path), check=True)
    words = " ".join(ended.stdout.split())
    assert "shard 2/2: fc on digits" in words
    assert "supermask results --results ONE --merge OTHER" in words
    assert len(stored(tmp_path)) == 1 + 11 * 2, "one seed of two, all rounds"
    assert not (tmp_path / "figures").exists()


@pytest.fixture(scope="module")
def straight(tmp_path_factory) -> Path:
    """A results folder of the whole job, run without interruption."""
    folder = tmp_path_factory.mktemp("straight")
    run("reproduce", *NAMES, *SMALL, "--results", str(folder), check=True)
    return folder


@pytest.mark.slow
def test_the_whole_job_leaves_figures_and_everything_it_was_made_with(straight):
    for name in NAMES:
        changed = "epochs-4-seeds-2" if name == "criteria-plane" else "epochs-4-rounds-2-seeds-2"
        for ending in ("csv", "svg", "png"):
            assert (straight / "figures" / f"{name}-fc-digits-quick-{changed}.{ending}").stat().st_size > 1000
    results = stored(straight)
    kinds = [json.loads(text)["kind"] for text in results["description"]]
    assert kinds.count("training") == 46
    assert kinds.count("untrained") == 2 * 13 * 2 * 3
    with sqlite3.connect(straight / "results.sqlite") as database:
        made_with = [json.loads(text) for (text,) in database.execute("SELECT made_with FROM provenance")]
    database.close()
    assert len(made_with) == 1
    assert {"jax", "jaxlib", "flax", "optax", "numpy", "python", "supermask", "commit", "backend"} <= set(made_with[0])


@pytest.mark.slow
def test_what_is_stored_is_not_trained_again(straight):
    before = stored(straight)
    pictures = {path.name: path.read_bytes() for path in (straight / "figures").iterdir()}
    started = time.monotonic()
    ended = run("reproduce", *NAMES, *SMALL, "--results", str(straight), check=True)
    assert "46 of 46 trainings" in " ".join(ended.stdout.split())
    assert time.monotonic() - started < 60
    pd.testing.assert_frame_equal(stored(straight), before)
    assert {path.name: path.read_bytes() for path in (straight / "figures").iterdir()} == pictures


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_job_goes_on_to_the_same_bits(straight, tmp_path, how):
    arguments = [*COMMAND, "reproduce", *NAMES, *SMALL, "--results", str(tmp_path)]
    times = 0
    for _ in range(2):
        before = count(tmp_path)
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline and count(tmp_path) == before:
            time.sleep(0.02)
        times += process.poll() is None
        process.send_signal(how)
        out, err = process.communicate(timeout=120)
        if how == signal.SIGINT and process.returncode != 0:
            assert process.returncode == INTERRUPTED
            assert "goes on from there" in " ".join(out.split())
            assert "Traceback" not in err
    assert times > 0, "at least one interruption came in time"
    subprocess.run(arguments, capture_output=True, timeout=300, check=True)
    pd.testing.assert_frame_equal(stored(tmp_path), stored(straight))
    for path in (straight / "figures").glob("*.csv"):
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_ctrl_c_twice_stops_now_and_nothing_stored_is_lost(straight, tmp_path):
    arguments = [
        *COMMAND,
        "reproduce",
        "mask-criteria",
        *SMALL[:2],
        "--epochs",
        "400",
        *SMALL[4:],
        "--results",
        str(tmp_path),
    ]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while count(tmp_path) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    for _ in range(2):
        time.sleep(0.5)
        assert process.poll() is None, "a population takes a while"
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    assert "Once more to stop now" in err
    assert "goes on from there" in " ".join((out + err).split())
    assert len(stored(tmp_path)) == 2


def count(folder: Path) -> int:
    """Results stored so far by another process."""
    try:
        with sqlite3.connect(f"file:{folder / 'results.sqlite'}?mode=ro", uri=True) as database:
            found: int = database.execute("SELECT count(*) FROM results").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        if "database" in locals():
            database.close()
    return found


@pytest.mark.thorough
def test_one_device_or_two_give_the_same_results(straight, tmp_path):
    run("reproduce", "mask-criteria", *SMALL, "--devices", "1", "--results", str(tmp_path), check=True)
    both = stored(tmp_path).merge(stored(straight), on="id", suffixes=("", "_two"))
    assert len(both) == 46
    assert (both["arrays_sha256"] == both["arrays_sha256_two"]).all()
    assert (both["metrics"] == both["metrics_two"]).all()


@pytest.mark.parametrize(("seeds", "words"), [("1", ": 1 seed, "), ("2", ": 2 seeds, ")])
def test_one_seed_is_no_seeds(seeds, words, tmp_path, capsys):
    asked = ["reproduce", "criteria-plane", "--dataset", "digits", "--seeds", seeds, "--dry-run"]
    assert run_command([*asked, "--results", str(tmp_path)], CATALOGUE) == 0
    assert words in " ".join(capsys.readouterr().out.split())
