"""Ctrl-C: once finishes what is under way, twice stops now; both leave what goes on from there."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from analysis.checkpoints import FolderCheckpoints
from analysis.interrupts import INTERRUPTED, Stop
from analysis.work import Done


def test_the_first_signal_lets_results_be_stored_and_then_stops(capfd):
    told = []
    with Stop() as stop:
        watch = stop.watcher(told.append)
        watch(Done(results=1))
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested
        watch(Done(work=5))
        with pytest.raises(KeyboardInterrupt):
            watch(Done(results=2))
    assert [done.results for done in told] == [1, 0, 2], "results are told before it stops"
    assert "stopping: what is under way is finished and stored" in capfd.readouterr().err


def test_the_second_signal_stops_at_once():
    with Stop():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_long_training_stops_at_a_checkpoint(tmp_path):
    arrays = {"a": np.arange(3)}
    with Stop(patience=0.2) as stop:
        checkpoints = stop.checkpoints(FolderCheckpoints(tmp_path))
        checkpoints.save("key", arrays)
        os.kill(os.getpid(), signal.SIGINT)
        assert not checkpoints.due()
        time.sleep(0.3)
        assert checkpoints.due()
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save("key", {"a": np.arange(4)})
        np.testing.assert_array_equal(checkpoints.load("key")["a"], np.arange(4))


def test_signals_are_again_what_they_were_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for _ in range(2):
        with Stop():
            pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


DEAF = """
import hashlib
from analysis.interrupts import Stop
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
