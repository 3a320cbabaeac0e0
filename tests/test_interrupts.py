"""Ctrl-C and SIGTERM: while results are made, once finishes what is under way and twice stops; else once stops."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from supermask.analysis.running.interrupts import INTERRUPTED, TERMINATED, Interrupted, Stop, status_of
from supermask.analysis.store.checkpoints import FolderCheckpoints
from supermask.analysis.studies.work import Done


def test_the_first_signal_lets_results_be_stored_and_then_stops(capfd):
    told = []

    def work() -> None:
        with Stop() as stop:
            watch = stop.watcher(told.append)
            watch(Done(results=1))
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.requested
            watch(Done(work=5))
            watch(Done(results=2))
            pytest.fail("it goes on")

    assert status_after(work) == INTERRUPTED
    assert [done.results for done in told] == [1, 0, 2], "results are told before it stops"
    assert "stopping: what is under way is finished and stored" in capfd.readouterr().err


def test_the_second_signal_stops_at_once():
    def work() -> None:
        with Stop():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("it goes on")

    assert status_after(work) == TERMINATED


def test_what_was_asked_to_stop_does_not_go_on_to_its_next_part():
    def work() -> None:
        with Stop():
            os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("it goes on")

    assert status_after(work) == TERMINATED


def test_a_long_training_stops_at_a_checkpoint(tmp_path):
    arrays = {"a": np.arange(3)}
    checkpoints = FolderCheckpoints(tmp_path)

    def work() -> None:
        with Stop(patience=0.2) as stop:
            stopping = stop.checkpoints(checkpoints)
            stopping.save("key", arrays)
            os.kill(os.getpid(), signal.SIGINT)
            assert not stopping.due()
            time.sleep(0.3)
            assert stopping.due()
            stopping.save("key", {"a": np.arange(4)})
            pytest.fail("it goes on")

    assert status_after(work) == INTERRUPTED
    np.testing.assert_array_equal(checkpoints.load("key")["a"], np.arange(4))


def status_after(work: Callable[[], None]) -> int:
    """The exit status of work that is interrupted."""
    with pytest.raises(Interrupted) as raised:
        work()
    return status_of(raised.value)


def test_signals_are_again_what_they_were_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for _ in range(2):
        with Stop():
            pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


DEAF = """
import hashlib
from supermask.analysis.running.interrupts import Stop
with Stop(obedience=0.5):
    print("deaf", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)
"""


def test_a_second_signal_ends_even_a_program_that_cannot_hear():
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=0
    )
    assert process.stdout.readline() == "deaf\n"
    for wait in (0.5, 0.0):
        process.send_signal(signal.SIGINT)
        time.sleep(wait)
        assert process.poll() is None
    _, said = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED
    assert "stopping" in said
    assert "the same command goes on from there" in said


LOST = """
import gc, os, signal, sys, time
from supermask.analysis.running.interrupts import guarded

def interrupt():
    os.kill(os.getpid(), signal.{signal})
    sum(range(100))

class Finalizer:
    def __del__(self):
        interrupt()

def collected(phase, info, left=[1]):
    if left:
        left.pop()
        interrupt()

def in_a_callback_of_the_garbage_collection():
    gc.callbacks.append(collected)
    gc.collect()

def in_a_finalizer():
    Finalizer()

def in_an_import():
    try:
        interrupt()
    except KeyboardInterrupt:
        raise ImportError("initialization failed")

def where_it_is_printed_and_dropped():
    try:
        interrupt()
    except KeyboardInterrupt:
        # as PyErr_Print() does, in numpy's import_array()
        sys.excepthook(*sys.exc_info())

def where_everything_is_caught():
    try:
        interrupt()
    except BaseException:
        pass

def command():
    {where}()
    time.sleep(60)
    return 0

sys.exit(guarded(command, obedience={obedience}))
"""


@pytest.mark.parametrize(
    ("where", "obedience"),
    [
        ("in_a_callback_of_the_garbage_collection", 30.0),
        ("in_a_finalizer", 30.0),
        ("in_an_import", 30.0),
        ("where_it_is_printed_and_dropped", 30.0),
        ("where_everything_is_caught", 0.3),
    ],
)
@pytest.mark.parametrize(("name", "status"), [("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED)])
def test_an_interrupt_is_not_lost(where, obedience, name, status):
    """Python drops what a callback or a finalizer raises; a library may catch it."""
    program = LOST.format(signal=name, where=where, obedience=obedience)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1, "one line says that it was interrupted"


IMPORTING = """
import os, signal, sys, time, traceback
from importlib.machinery import ExtensionFileLoader
from supermask.analysis.running.interrupts import guarded

SETTING_UP = (ExtensionFileLoader.create_module.__code__, ExtensionFileLoader.exec_module.__code__)

class Finder:
    def find_spec(self, name, path=None, target=None):
        if any(frame.f_code in SETTING_UP for frame, _ in traceback.walk_stack(None)):
            sys.meta_path.remove(self)
            print("sent", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            sum(range(100))

def command():
    sys.meta_path.insert(0, Finder())
    try:
        import numpy
        time.sleep(10)
    except KeyboardInterrupt as error:
        print(any(frame.f_code in SETTING_UP for frame, _ in traceback.walk_tb(error.__traceback__)))
        raise

sys.exit(guarded(command))
"""


def test_no_extension_is_interrupted_while_it_sets_itself_up():
    """Several of jaxlib's then end the process: 'terminate called after throwing', or a segmentation fault."""
    ended = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=60)
    assert ended.stdout.split() == ["sent", "False"], ended.stderr
    assert ended.returncode == TERMINATED


DONE = """
import atexit, os, signal, sys
from supermask.analysis.running.interrupts import guarded

class Last:
    def __del__(self, kill=os.kill, own=os.getpid(), number=signal.SIGTERM):
        kill(own, number)

def command():
    import builtins
    {when}
    return 3

sys.exit(guarded(command))
"""


@pytest.mark.parametrize(
    "when",
    ["atexit.register(os.kill, os.getpid(), signal.SIGINT)", "builtins.last = Last()", "sys.modules[1] = Last()"],
)
def test_a_signal_after_the_end_changes_nothing(when):
    """While Python ends, in its last callbacks, and as it clears its modules."""
    program = DONE.format(when=when)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stderr) == (3, "")


LEFT_IN_THE_MIDDLE = """
import atexit, builtins, os, signal, sys
from supermask.analysis.running.interrupts import guarded

class Last:
    def __del__(self, kill=os.kill, own=os.getpid(), number=signal.SIGSEGV):
        kill(own, number)

def command():
    builtins.last = Last()
    atexit.register(print, "closed")
    sys.stdout.write("said, ")
    os.kill(os.getpid(), signal.{name})
    sum(range(100))

sys.exit(guarded(command))
"""


@pytest.mark.parametrize(("name", "status"), [("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED)])
def test_after_an_interrupt_modules_are_not_cleared_under_what_was_left(name, status):
    """A training that was left in the middle goes on in JAX's threads: three of four commands ended in a crash."""
    program = LEFT_IN_THE_MIDDLE.format(name=name)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (ended.returncode, ended.stdout) == (status, "said, closed\n"), "callbacks are run, and texts flushed"
    assert ended.stderr.startswith("supermask: interrupted")


COMMAND = [sys.executable, "-c", "from supermask.figures.command import main; main()"]
DRY_RUN = ["reproduce", "mask-criteria", "--dataset", "digits", "--rounds", "2", "--seeds", "1", "--dry-run"]


def listens(process: subprocess.Popen[str]) -> bool:
    """Whether a process has a handler for SIGTERM, or has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return True
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt")), None)
    return caught is None or bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def drawing(folder: Path) -> list[str]:
    """The command that draws a table of the gallery anew, of which a good part of the time goes into drawing."""
    table = "mask-criteria-fc-mnist-short"
    for ending in ("csv", "svg", "png"):
        shutil.copy(Path(__file__).parents[1] / "figures" / "gallery" / f"{table}.{ending}", folder)
    return ["redraw", str(folder / f"{table}.csv"), "--format", "svg,png,pdf"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux when the process listens")
@pytest.mark.parametrize(
    ("command", "tries"),
    [
        pytest.param("dry run", 6, marks=pytest.mark.slow),
        pytest.param("drawing", 4, marks=pytest.mark.slow),
        pytest.param("dry run", int(os.environ.get("SIGNALS", "200")), marks=pytest.mark.long),
        pytest.param("drawing", int(os.environ.get("SIGNALS", "200")), marks=pytest.mark.long),
    ],
)
def test_one_signal_ends_a_command_at_any_moment(tmp_path, alive, command, tries):
    """From the first line on: while JAX is imported, while a program is compiled, while a picture is drawn."""
    chance = random.Random(tries)  # noqa: S311
    asked = [*DRY_RUN, "--results", str(tmp_path)] if command == "dry run" else drawing(tmp_path)
    arguments = [*COMMAND, *asked]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    longest, late = 0.0, 0
    started = time.monotonic()
    subprocess.run(arguments, capture_output=True, timeout=600, check=True, env=environment)
    whole = time.monotonic() - started
    for number in range(tries):
        alive()
        how = (signal.SIGINT, signal.SIGTERM)[number % 2]
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            while not listens(process):
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, whole * (1.0 if number % 4 else 0.2)))
            process.send_signal(how)
            began = time.monotonic()
            _, said = process.communicate(timeout=60)
            longest = max(longest, time.monotonic() - began)
        if process.returncode == 0:
            late += 1  # it had ended, or was about to
            assert said == ""
            continue
        assert process.returncode == 128 + how, said
        assert "Traceback" not in said
        assert "interrupted" in said or "stopped in the middle" in said
    assert late < tries
    assert longest < 15.0, "five seconds, on busy cores"
    print(f"{tries} signals, {late} after the end, the slowest took {longest:.1f} s", file=sys.stderr)


@pytest.mark.slow
def test_the_explorers_training_follows_the_same_protocol(tmp_path):
    arguments = [*COMMAND, "explore", "--dataset", "digits", "--epochs", "2000", "--rounds", "2", "--no-browser"]
    with subprocess.Popen(
        [*arguments, "--results", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "trainings are not in" in process.stdout.readline()
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        assert process.poll() is None, "what is under way is finished"
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert "stopping: what is under way is finished and stored" in said
    assert "goes on from there" in " ".join((out + said).split())
    assert "Traceback" not in said
