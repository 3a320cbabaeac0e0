"""What a log says of a long job: a line soon and then ever rarer up to a minute, with the speed of the last minutes."""

import io
import re
from contextlib import suppress

import pytest
from rich.console import Console

from supermask.analysis.kinds.plan import Count, Workload
from supermask.analysis.running.notebook_bar import NotebookBar, notebook_bar
from supermask.analysis.running.progress import MINUTES_OF_SPEED, JobProgress
from supermask.analysis.studies.work import Done


def lines_of(words, needed: int, seconds: float = 20.0) -> list[str]:
    """A job's log, where the runner speaks every `seconds` and each word tells of so much work."""
    now = 0.0
    text = io.StringIO()
    load = Workload({"training": Count(needed=3, stored=1)}, needed)
    with JobProgress(load, Console(file=text, width=200), lambda: now) as progress:
        for work in words:
            now += seconds
            progress.watch(Done(work=work))
    return text.getvalue().splitlines()


def test_a_line_says_how_fast_it_goes_and_how_long_it_takes_soon_at_first_and_then_once_a_minute():
    lines = lines_of([2000.0] * 15, needed=100_000)
    assert lines == [
        "1/3 trainings",
        "1/3 trainings, 100 network-steps/s, about 16 min 00 s left",
        "1/3 trainings, 100 network-steps/s, about 15 min 20 s left",
        "1/3 trainings, 100 network-steps/s, about 14 min 40 s left",
        "1/3 trainings, 100 network-steps/s, about 13 min 40 s left",
        "1/3 trainings, 100 network-steps/s, about 12 min 40 s left",
        "1/3 trainings, 100 network-steps/s, about 11 min 40 s left",
    ]


def test_steps_taken_up_from_a_checkpoint_do_not_count_as_speed():
    """Nor does the time before the first word, in which programs are compiled."""
    resumed, straight = lines_of([50_000.0, *[2000.0] * 9], 148_000), lines_of([2000.0] * 10, 100_000)
    assert resumed == straight


def test_the_speed_is_that_of_the_last_minutes():
    minutes = MINUTES_OF_SPEED + 1
    lines = lines_of([*[100.0] * (minutes * 3), *[2000.0] * (minutes * 3)], needed=10**6)
    speeds = [float(re.search(r"([\d,]+) network-steps/s", line)[1].replace(",", "")) for line in lines[1:]]
    assert speeds[0] == 5.0
    assert speeds[-1] == 100.0
    assert speeds == sorted(speeds)


def test_a_job_that_stands_still_promises_nothing():
    assert set(lines_of([0.0] * 10, needed=1000)) == {"1/3 trainings"}


LOAD = Workload({"training": Count(needed=4, stored=0)}, 400)


def test_in_a_notebook_a_bar_is_replaced_in_place():
    """At first, seldom in between, and at the end, also where the work was stopped; nowhere but in a notebook."""
    assert notebook_bar() is None
    now, shown, updates = [0.0], [], []

    class Handle:
        def update(self, state, raw):
            updates.append(state)

    def display(state, raw, display_id):
        assert raw
        assert display_id
        shown.append(state)
        return Handle()

    def job():
        console = Console(file=io.StringIO(), force_terminal=False)
        return JobProgress(LOAD, console, lambda: now[0], NotebookBar(display, lambda: now[0]))

    with job() as progress:
        assert shown[0]["text/plain"].startswith("0% 0/4 trainings: compiling")
        assert '<progress value="0.0000" max="1"' in shown[0]["text/html"]
        for second in range(1, 41):
            now[0] = second / 10
            progress.watch(Done(work=10.0, kind="training", results=int(second % 10 == 0)))
    assert len(shown) == 1
    assert len(updates) == 8 + 1, "twice a second, and the end"
    assert updates[3]["text/plain"].startswith("50% 2/4 trainings, ")
    assert updates[-1]["text/plain"] == "100% 4/4 trainings: done after 0 min 04 s"
    with suppress(KeyboardInterrupt), job() as progress:
        progress.watch(Done(work=100.0, kind="training", results=1))
        raise KeyboardInterrupt
    assert updates[-1]["text/plain"] == "25% 1/4 trainings: stopped after 0 min 00 s"


CELL = """
import asyncio
import supermask as sm
from supermask.analysis.drawing import notebook as nb
asyncio.get_running_loop()
plan = nb.describe([sm.treatment(sm.movement)], "results", dataset="digits", seeds=1, rounds=20, epochs=4)
nb.run(plan)
"""


@pytest.mark.slow
def test_jupyters_stop_button_ends_a_run_whose_bar_goes_on_from_there(tmp_path):
    """In a real kernel, inside its event loop: interrupted once something is stored, and called again."""
    manager = pytest.importorskip("jupyter_client").KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()

    def run(code, interrupt_at=None):
        """What a cell's display shows, in order; the name of its error, if any; and what it prints."""
        message, shown, error, printed = client.execute(code), [], "", ""
        while True:
            told = client.get_iopub_msg(timeout=240)
            if told["parent_header"].get("msg_id") != message:
                continue
            kind, content = told["msg_type"], told["content"]
            if kind in ("display_data", "update_display_data"):
                shown.append((kind, content["data"]["text/plain"]))
                if interrupt_at is not None and interrupt_at(shown[-1][1]):
                    manager.interrupt_kernel()
                    interrupt_at = None
            elif kind == "error":
                error = content["ename"]
            elif kind == "stream" and content["name"] == "stdout":
                printed += content["text"]
            elif kind == "status" and content["execution_state"] == "idle":
                return shown, error, printed

    try:
        client.wait_for_ready(timeout=120)
        shown, error, _ = run(CELL, lambda words: re.search(r"% [1-9]\d*/21 trainings", words) is not None)
        assert error in ("KeyboardInterrupt", "Interrupted")
        assert shown[0] == ("display_data", "0% 0/21 trainings: compiling")
        assert {kind for kind, _ in shown[1:]} == {"update_display_data"}
        assert "trainings: stopped after" in shown[-1][1]
        missing = int(run("print(plan.missing)")[2])
        assert 0 < missing < 21
        shown, error, _ = run("nb.run(plan)")
        assert error == ""
        assert shown[0][1].startswith(f"0% {21 - missing}/21 trainings")
        assert shown[-1][1].startswith("100% 21/21 trainings: done after")
        assert run("print(plan.missing, len(nb.table(plan)))")[2] == "0 21\n"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
