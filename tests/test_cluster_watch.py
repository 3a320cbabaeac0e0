"""The watch over a cluster: what it says and when, what it takes for lost, when it gives up; and what Dask does."""

import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from distributed import Client, LocalCluster
from hypothesis import given
from hypothesis import strategies as st

from supermask.analysis.command import reproduce
from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED
from supermask.analysis.running.cluster import client
from supermask.analysis.running.cluster.connection import connected
from supermask.analysis.running.cluster.source import Source
from supermask.analysis.running.cluster.watch import ASTRAY_SECONDS, LOOK_SECONDS, NOTICE_SECONDS, Watch, look
from supermask.figures.catalogue import CATALOGUE


class Clock:
    """A watch on a cluster that is described, second by second."""

    def __init__(self, expected=0, wait=600.0) -> None:
        self.now, self.seen = 0.0, None
        self.said: list[tuple[float, str]] = []
        self.revived: list[float] = []
        self.watch = Watch(
            lambda: self.seen,
            lambda words: self.said.append((self.now, words)),
            lambda: self.revived.append(self.now),
            expected,
            wait,
            lambda: self.now,
        )

    def goes(self, seconds: float, seen) -> "Clock":
        """Looks around as the client does, for so many seconds, in which the cluster is as described."""
        self.seen = seen
        until = self.now + seconds
        while self.now < until:
            self.watch.once(7)
            self.now += LOOK_SECONDS
        return self


BOTH = {"a": frozenset({"1"}), "b": frozenset({"2"})}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (None, "cluster: the scheduler does not answer; 7 results wait for up to 10 min 00 s; what is made is stored"),
        ({}, "cluster: no worker is there; 7 results wait for up to 10 min 00 s; what is made is stored"),
        ({"a": frozenset()}, "cluster: 1 of 2 workers missing; the others go on"),
    ],
)
def test_what_is_missing_is_said_once_within_a_minute(seen, words):
    clock = Clock().goes(100, BOTH)
    assert clock.said == []
    clock.goes(400, seen)
    ((at, said),) = clock.said
    assert said == words
    assert 100 < at < 160
    clock.goes(10, BOTH)
    assert clock.said[1:] == [(500.0, "cluster: 2 workers are there again")]


def test_a_worker_that_is_back_soon_is_not_mentioned():
    clock = Clock().goes(100, BOTH).goes(NOTICE_SECONDS - 2, {"a": frozenset()}).goes(100, BOTH)
    assert clock.said == clock.revived == []


def test_workers_are_started_in_the_place_of_lost_ones_again_and_again():
    clock = Clock(expected=2).goes(100, {"a": frozenset()})
    assert clock.revived == [20, 40, 60, 80]


def test_workers_that_come_and_go_are_replaced_and_keep_nobody_waiting():
    """What is missing changes all the time: that something is counts, and the work begins with those that are there."""
    clock = Clock(expected=2)
    for _ in range(25):
        clock.goes(2, {}).goes(2, {"a": frozenset()})
        assert clock.watch.complete == (clock.now >= NOTICE_SECONDS)
    assert clock.revived == [20, 40, 60, 80]
    clock.goes(2, BOTH)
    assert clock.watch.complete
    clock.goes(2, {"a": frozenset()})
    assert not clock.watch.complete, "it has just been lost"


@given(st.lists(st.tuples(st.sampled_from([None, {}, {"a": frozenset()}, BOTH]), st.integers(1, 200)), max_size=12))
def test_it_gives_up_where_nothing_can_be_made_for_that_long_and_only_there(phases):
    clock, hopeless = Clock(wait=300.0), 0.0
    for seen, looks in phases:
        for _ in range(looks):
            clock.goes(LOOK_SECONDS, seen)
            hopeless = 0.0 if seen else hopeless + LOOK_SECONDS
            assert bool(clock.watch.given_up) == (hopeless >= 300.0)
            if clock.watch.given_up:
                assert clock.watch.given_up.endswith(", for 5 min 00 s")


def test_a_task_that_nobody_has_while_a_worker_is_idle_is_astray():
    clock = Clock()
    busy, idle = BOTH, {"a": frozenset({"1"}), "b": frozenset()}
    astray = lambda seen: clock.watch.astray(seen, ["1", "3"])  # noqa: E731
    assert astray(busy) == []
    clock.now += 2 * ASTRAY_SECONDS
    assert astray(busy) == [], "the scheduler keeps it until a worker is free"
    assert astray(idle) == []
    clock.now += ASTRAY_SECONDS / 2
    assert astray(idle) == []
    clock.now += ASTRAY_SECONDS / 2
    assert astray(idle) == ["3"]
    assert astray(busy) == [], "it begins to count anew"
    assert astray(idle) == []


def test_a_scheduler_is_asked_and_one_that_is_gone_does_not_answer():
    with LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster, Client(cluster) as client:
        (address,) = look(client)
        future = client.submit(time.sleep, 1.0, key="a task")
        while look(client) != {address: frozenset({"a task"})}:
            assert not future.done()
        future.cancel()
        client.close()
        assert look(client) is None


def test_dask_keeps_a_loosely_bound_task_for_a_worker_that_is_gone():
    """Why tasks go astray: no worker is left for a moment, and a task may go to any, but prefers the lost one."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        (address,) = look(client)
        cluster.scale(0)
        wait_until(lambda: look(client) == {})
        future = client.submit(abs, -1, workers=[address], allow_other_workers=True, key="bound")
        free = client.submit(abs, -1, key="free")
        cluster.scale(1)
        assert free.result(timeout=30) == 1, "the new worker works"
        if future.status != "pending":
            pytest.skip("this version of Dask sends it to the new worker")
        now = 0.0
        watch = Watch(lambda: None, print, clock=lambda: now)
        assert watch.astray(look(client), ["bound"]) == []
        now = ASTRAY_SECONDS
        assert watch.astray(look(client), ["bound"]) == ["bound"]
        future.cancel()
        assert client.submit(abs, -1, key="again").result(timeout=30) == 1


def test_an_error_of_the_work_is_not_taken_for_the_clusters():
    with LocalCluster(n_workers=0, processes=False, dashboard_address=None) as cluster:
        source = Source("scheduler", options={"address": cluster.scheduler_address})
        with pytest.raises(OSError, match=r"^disk full$"), connected(source):
            raise OSError("disk full")


def wait_until(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        time.sleep(0.05)


def test_a_command_whose_cluster_gives_up_fails_and_says_what_is_stored(monkeypatch, tmp_path, capsys):
    lost = "no worker has come back for 600 seconds"
    connection = SimpleNamespace(client=None, source=SimpleNamespace(devices=1, kind="local"), watch=lambda say: None)
    monkeypatch.setattr(reproduce, "connected", lambda source: nullcontext(connection))
    monkeypatch.setattr(client, "run_on", lambda *work: [lost])
    asked = ["reproduce", "supermasks-at-init", "--dataset", "digits", "--seeds", "1", "--cluster", "local"]
    assert run_command([*asked, "--results", str(tmp_path)], CATALOGUE) == FAILED
    said = " ".join(capsys.readouterr().out.split())
    assert f"failed: {lost} all else is stored; the same command tries again what is missing" in said
