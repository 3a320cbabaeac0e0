"""What a log says of a long job: a line soon and then ever rarer up to a minute, with the speed of the last minutes."""

import io
import re

from rich.console import Console

from supermask.analysis.kinds.plan import Count, Workload
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
