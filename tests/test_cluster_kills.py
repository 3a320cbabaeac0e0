"""Kills on a cluster: workers at random moments, and schedulers. Nothing stored is lost, nothing hangs.

On a larger scale: `pytest -n 0 -m long tests/test_cluster_kills.py -s`; KILLS=n for other than 200 kills.
"""

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest
from test_cli import count
from test_cluster import ids_of, rows

from supermask.analysis.command.verify import verify
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.running import runner
from supermask.analysis.running.cluster import orders, watch
from supermask.analysis.running.cluster.client import run_on
from supermask.analysis.running.cluster.connection import connected
from supermask.analysis.running.cluster.source import Source, parse_source
from supermask.analysis.running.cluster.worker import Setting
from supermask.analysis.running.interrupts import INTERRUPTED, Stop
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.criteria import CRITERIA
from supermask.named_members import BUILT_IN
from supermask.restarts import Treatment

STUDY = Study(
    (
        Treatment(),
        BUILT_IN.treatment("random"),
        BUILT_IN.treatment("large_init", kept="constant"),
        Untrained(CRITERIA["random"]),
    )
)
SILENCE, REST = 15.0, 4.5
"""Times without a result, in times from a cluster's start to its first result, or in ten seconds where that is quicker:
what counts as a hang, and when nobody is killed for a while, since workers die faster than they can start."""


@pytest.fixture(scope="module")
def experiment(digits, compiled_once):
    return Experiment(protocol("quick", changes=Changes(dataset="digits", epochs=2, rounds=6, seeds=2)), digits)


class Impatient(Stop):
    """A stop that is requested where nothing was told of for long."""

    def __init__(self, killer: "Killer") -> None:
        super().__init__(patience=0.0)
        self.killer = killer

    @property
    def requested(self) -> bool:
        return super().requested or self.killer.silence > SILENCE

    def check(self) -> None:
        assert self.killer.silence <= SILENCE, "it hangs"
        super().check()


def study_on(connection, experiment, store, said, killer) -> list:
    with Impatient(killer) as stop:
        setting = Setting(experiment.protocol, experiment.data.digest, experiment.parameters, pinned=True)
        eye = connection.watch(said.append)
        wanted = ids_of(experiment, STUDY)
        return run_on(connection.client, setting, experiment, STUDY, store, wanted, killer.hear, stop, eye)


def workers() -> list[int]:
    """Ids of this process's workers, those that are starting included."""
    return [each.pid for each in multiprocessing.active_children() if each.pid and "Worker" in each.name]


class Killer(threading.Thread):
    """Kills workers at random moments until told to end: mostly one, now and then all. Rests while nothing is made.

    It begins at the first result, so that it knows how long this machine takes to a first result.
    """

    def __init__(self, seed: int, kills: int, alive: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.alive = alive
        self.began, self.first = time.monotonic(), 600.0
        self.chance, self.left, self.done = random.Random(seed), kills, 0  # noqa: S311
        self.ended = threading.Event()
        self.heard = time.monotonic()
        self.rests = 0

    def hear(self, done) -> None:
        self.heard = time.monotonic()
        self.alive()
        if self.ident is None and done.results:
            self.first = max(10.0, self.heard - self.began)
            self.start()

    @property
    def silence(self) -> float:
        return (time.monotonic() - self.heard) / self.first

    def run(self) -> None:
        while self.left and not self.ended.wait(self.chance.uniform(0.2, 5.0)):
            if self.silence > REST:
                self.rests += 1
                continue
            there = workers()
            some = there if self.chance.random() < 0.2 else self.chance.sample(there, min(len(there), 1))
            for pid in some[: self.left]:
                os.kill(pid, signal.SIGKILL)
                self.left, self.done = self.left - 1, self.done + 1


@pytest.mark.slow
@pytest.mark.parametrize("kills", [3, pytest.param(int(os.environ.get("KILLS", "200")), marks=pytest.mark.long)])
def test_workers_killed_at_random_lose_nothing_and_nothing_hangs(
    experiment, tmp_path, monkeypatch, cache, alive, kills
):
    """A task may go down with three workers by chance alone: then the same call makes what is missing."""
    monkeypatch.setattr(orders, "TASK_SECONDS", 0.3)
    with Store(tmp_path / "straight") as store:
        runner.run(experiment, STUDY, store)
    expected, said = rows(tmp_path / "straight"), []
    killer, studies, calls = Killer(kills, kills, alive), 0, 0
    with connected(Source("local", workers=2)) as connection:
        while killer.is_alive() or not studies:
            folder = tmp_path / f"killed-{studies}"
            with Store(folder) as store:
                while True:
                    before = len(rows(folder))
                    failures = study_on(connection, experiment, store, said, killer)
                    calls += 1
                    assert before <= len(rows(folder)) == len(expected) - sum(each.results for each in failures)
                    if not failures:
                        break
            assert rows(folder) == expected
            assert not verify(folder).damages
            studies += 1
        killer.ended.set()
    assert killer.done == kills
    figures = f"{kills} kills, {studies} studies in {calls} calls, {studies * len(expected)} results"
    figures += f", first result after {killer.first:.0f} s"
    print(f"{figures}, {killer.rests} times nobody was killed for workers were starting", file=sys.stderr)


@contextmanager
def process(*arguments: str):
    """A part of an external cluster."""
    started = subprocess.Popen(
        [sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield started
    finally:
        with_group(started, signal.SIGKILL)
        started.wait(30)


def with_group(started: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(started.pid, number)
    except ProcessLookupError:
        return


def scheduler(port: int):
    return process("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")


def worker(port: int):
    return process("distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard")


def free_port() -> int:
    """A port that stays free while its scheduler is dead: below those that the system gives to outgoing connections."""
    for port in random.SystemRandom().sample(range(20_000, 32_000), 100):
        with socket.socket() as taken:
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port of a hundred is free")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Compiled programs, for all workers of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture
def quickly(monkeypatch, cache):
    monkeypatch.setattr(watch, "NOTICE_SECONDS", 1.0)
    monkeypatch.setattr(orders, "TASK_SECONDS", 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("killed", ["workers", "scheduler"])
@pytest.mark.parametrize("comes_back", [True, False])
def test_an_external_cluster_that_is_killed(experiment, tmp_path, quickly, killed, comes_back):
    """What comes back is given its work again; what does not is named, and waited for as long as the file says."""
    port, said, replaced = free_port(), [], []
    file = tmp_path / "cluster.toml"
    wait = 300 if comes_back else 3
    file.write_text(f"kind = 'scheduler'\nwait = {wait}\n[options]\naddress = 'tcp://127.0.0.1:{port}'\n")
    source = parse_source(str(file))
    with ExitStack() as stack, Store(tmp_path / "results") as store:
        old = [stack.enter_context(scheduler(port)), stack.enter_context(worker(port))]

        def deed() -> None:
            for each in old[::-1] if killed == "scheduler" else old[1:]:
                with_group(each, signal.SIGKILL)

        def bring_back() -> None:
            if killed == "scheduler":
                replaced.append(stack.enter_context(scheduler(port)))
            replaced.append(stack.enter_context(worker(port)))

        def say(words: str) -> None:
            said.append(words)
            if comes_back and not replaced and "wait for up to" in words:
                bring_back()

        connection = stack.enter_context(connected(source))
        setting = Setting(experiment.protocol, experiment.data.digest, experiment.parameters)
        wanted = ids_of(experiment, STUDY)
        done: list[int] = []

        def tell(each) -> None:
            done.append(each.results)
            if sum(done) >= len(wanted) // 3 and old:
                deed()
                old.clear()

        with Stop() as stop:
            eye = connection.watch(say)
            failures = run_on(connection.client, setting, experiment, STUDY, store, wanted, tell, stop, eye)
        stored = len(list(store.everything()))
    missing = "the scheduler does not answer" if killed == "scheduler" else "no worker is there"
    assert any(f"cluster: {missing}" in words for words in said), said
    assert stored == sum(done)
    if comes_back:
        assert not failures
        assert stored == len(wanted)
        assert "cluster: 1 worker is there again" in said
    else:
        (failure,) = failures
        assert failure.results == len(wanted) - stored > 0
        assert str(failure).endswith("for 0 min 03 s")
    assert not verify(tmp_path / "results").damages


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_command_that_waits_for_workers(tmp_path, how):
    port = free_port()
    command = "from supermask.figures.command import main; main()"
    arguments = ["reproduce", "mask-criteria", "--dataset", "digits", "--cluster", f"tcp://127.0.0.1:{port}"]
    with (
        scheduler(port),
        subprocess.Popen(
            [sys.executable, "-c", command, *arguments, "--results", str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as waiting,
    ):
        assert waiting.stdout is not None
        while "stored in" not in waiting.stdout.readline():
            assert waiting.poll() is None
        time.sleep(4.0)
        started = time.monotonic()
        waiting.send_signal(how)
        out, said = waiting.communicate(timeout=60)
        assert time.monotonic() - started < 8.0
    assert waiting.returncode == 128 + how, said
    assert "Traceback" not in out + said
    assert "goes on from there" in " ".join(out.split())


@pytest.mark.slow
@pytest.mark.parametrize(("results", "times"), [(0, 1), (3, 1), (3, 2)])
def test_ctrl_c_in_a_terminal_is_the_commands_to_hear(tmp_path, cache, results, times):
    """A terminal sends it to the workers too: they neither die of it nor print; what they have begun is stored."""
    arguments = ["reproduce", "mask-criteria", "--dataset", "digits", "--rounds", "8", "--cluster", "local"]
    command = [sys.executable, "-c", "from supermask.figures.command import main; main()", *arguments]
    with subprocess.Popen(
        [*command, "--results", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        deadline = time.monotonic() + 240
        while not (count(tmp_path) >= results if results else children(running.pid)):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        started, left = time.monotonic(), children(running.pid)
        for _ in range(times):
            os.killpg(running.pid, signal.SIGINT)
            time.sleep(0.1)
        out, said = running.communicate(timeout=120)
        assert time.monotonic() - started < (60.0 if times == 1 else 10.0)
    assert running.returncode == INTERRUPTED, said
    assert "Traceback" not in out + said
    assert "goes on from there" in " ".join((out + said).split()), (
        "by the command, or by the listener where that is slow"
    )
    assert "cluster:" not in out, "no worker was missing"
    deadline = time.monotonic() + 60
    while psutil.wait_procs(left, timeout=1.0)[1]:
        assert time.monotonic() < deadline, "workers are left"
    assert count(tmp_path) >= results
    assert not results or not verify(tmp_path).damages


def children(pid: int) -> list[psutil.Process]:
    """A process's workers, those that are starting included."""
    found = []
    for each in psutil.Process(pid).children():
        with suppress(psutil.Error):  # it has just ended
            found += [each] if "spawn_main" in " ".join(each.cmdline()) else []
    return found


@pytest.mark.slow
def test_a_worker_that_is_killed_as_it_starts_is_started_again(monkeypatch):
    """Dask counts it as there, and starts no other."""
    monkeypatch.setattr(watch, "NOTICE_SECONDS", 0.5)
    said: list[str] = []
    with connected(Source("local", workers=2)) as connection:
        eye, killed = connection.watch(said.append), set()
        deadline = time.monotonic() + 200
        while len(eye.once(0) or ()) < 2:
            if len(killed) < 4:
                for pid in set(workers()) - killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
    assert len(killed) == 4
