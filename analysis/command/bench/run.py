"""Runs the benchmarks in alternation and prints the results."""

import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.status import Status

from supermask.analysis.command.bench import comparisons, density
from supermask.analysis.command.bench.bound import products_and_update
from supermask.analysis.command.bench.comparisons import NETWORK_STEP, Comparison
from supermask.analysis.command.bench.peers import MODES, Peers, available
from supermask.analysis.store.provenance import provenance
from supermask.analysis.system.errors import UsageError, at_least, choose
from supermask.analysis.system.files import FileKind, check_apart, check_output, write_whole
from supermask.analysis.system.screen import Screen, print_table

LATE_STEPS, LATE_NETWORKS, LATE_PREPARATION = 2750, 4, 800  # steps as in the short protocol's rounds
LEVELS = 25
HOPELESS = 5
"""A PyTorch version that takes so many times as long as the fastest is measured in the first turn alone.

Without it, bfloat16 takes nine tenths of all time on a processor that has no instructions for it.
"""
UNTRAINED = "figure-10"

PICTURE = FileKind.starting("a picture", b"<?xml")
MEASURED = FileKind.starting("a file of measurements", b'{\n "facts":')

Make = Callable[[int | None, Path], list[list[Comparison]]]
"""Makes groups of comparisons. Those of a group alternate, so PyTorch's processes for all of them run at once."""


@dataclass(frozen=True)
class Row:
    """Measurements of one workload, in its unit: ours, and PyTorch's by mode, turn by turn."""

    name: str
    unit: str
    ours: tuple[float, ...]
    peers: Mapping[str, tuple[float, ...]]

    def ratios(self, mode: str) -> list[float]:
        """Return PyTorch's time over ours, turn by turn; a mode that is left out later has its first turn alone."""
        return [peer / ours for peer, ours in zip(self.peers[mode], self.ours, strict=False)]


def bench(names: Sequence[str], pairs: int, steps: int | None, output: Path | None) -> None:
    """Measure this toolkit and, if installed, PyTorch at the same work in alternation, and print medians.

    names: keys of `WORK`; empty for all. pairs: number of turns. steps: length of every training; None for each
    workload's own. output: JSON file for all measurements; the picture of `density` is written beside it.
    If it is interrupted or fails, what has been measured is printed and written.
    Raises UsageError for an unknown name, fewer than one pair or step, or an output that cannot be written.
    """
    for name in names:
        choose("work", name, WORK)
    at_least("pairs", pairs, 1)
    if steps is not None:
        at_least("steps", steps, 1)
        if set(names) == {UNTRAINED}:
            raise UsageError(f"steps is given, but {UNTRAINED} trains nothing; allowed: other work, or no steps")
    if output is not None:
        check_output("json", output, MEASURED)
        if "density" in (names or WORK):
            check_apart("json and the picture beside it", output, output.with_suffix(".svg"))
            check_output("json", output.with_suffix(".svg"), PICTURE)
    console = Screen()
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in dict.fromkeys(names or WORK):
                with console.status(f"{name}: preparing") as status:
                    tell = partial(_tell, status, name, pairs)
                    for group in WORK[name](steps, Path(folder)):
                        rows += _measured(group, pairs, tell)
    finally:
        if rows:
            _report(console, rows, pairs, output)


def _report(console: Screen, rows: Sequence[Row], pairs: int, output: Path | None) -> None:
    facts = _facts(pairs, rows)
    show(console, rows, pairs)
    console.print("\n".join(f"{name}: {value}" for name, value in facts.items()), soft_wrap=True)
    if not available():
        console.print("PyTorch is not installed, so nothing was compared with it: pip install 'supermask[bench]'")
    if output is not None:
        text = json.dumps({"facts": facts, "rows": [asdict(row) for row in rows]}, indent=1) + "\n"
        write_whole(output, text.encode())
        found = density.curves({row.name: row.ours for row in rows}, {row.name: row.peers for row in rows})
        if found:
            density.draw(found, output.with_suffix(".svg"))


def show(console: Screen, rows: Sequence[Row], pairs: int) -> None:
    """Print the measurements as tables that are no wider than the screen."""
    title = f"medians of {pairs} turns (lowest to highest); PyTorch's time as a multiple of ours"
    modes = [mode for mode in dict.fromkeys((*MODES, *density.MODES)) if mode in MODES or _has(rows, mode)]
    print_table(console, title, ("work", "unit", "ours", *(f"PyTorch {mode}" for mode in modes)), _table(rows, modes))


def _fc(steps: int | None, folder: Path) -> list[list[Comparison]]:
    steps = steps or 1000
    plain = comparisons.training("fc", steps)
    products, update = products_and_update(comparisons.place_for("fc", 16), steps)
    group = [
        plain,
        comparisons.training("fc", steps, validation=5000),
        Comparison("fc: its matrix products alone", NETWORK_STEP, products, plain.units),
        Comparison("fc: Adam's update alone", NETWORK_STEP, update, plain.units),
    ]
    return [group]


def _conv(network: str, steps: int) -> Make:
    return lambda chosen, folder: [[comparisons.training(network, chosen or steps)]]


def _masks(steps: int | None, folder: Path) -> list[list[Comparison]]:
    return [[comparisons.learning_masks("fc", steps or 300, optimiser) for optimiser in ("sgd", "adam")]]


def _figure_10(steps: int | None, folder: Path) -> list[list[Comparison]]:
    return [[comparisons.masks_and_evaluation(LEVELS, folder)]]


def _late_rounds(steps: int | None, folder: Path) -> list[list[Comparison]]:
    prepare = min(steps or LATE_PREPARATION, LATE_PREPARATION)
    return [[comparisons.late_rounds(steps or LATE_STEPS, LATE_NETWORKS, prepare, folder)]]


def _density(steps: int | None, folder: Path) -> list[list[Comparison]]:
    """Group by density: PyTorch's processes for all densities at once need more memory than a small machine has."""
    found = density.densities(steps or 500, folder)
    return [found[at : at + 2] for at in range(0, len(found), 2)]


WORK: Mapping[str, Make] = {
    "fc": _fc,
    "conv2": _conv("conv2", 40),
    "conv4": _conv("conv4", 20),
    "conv6": _conv("conv6", 16),
    "masks": _masks,
    UNTRAINED: _figure_10,
    "late-rounds": _late_rounds,
    "density": _density,
}
"""What can be measured, by name."""


def _measured(group: Sequence[Comparison], pairs: int, tell: Callable[[int], None]) -> list[Row]:
    """Measure in turns, each with all of ours and all of PyTorch's, so that a machine that slows down slows both."""
    cores = provenance()["devices"]
    ours: list[list[float]] = [[] for _ in group]
    with ExitStack() as stack:
        peers = [
            {mode: stack.enter_context(Peers(each.peer, mode, cores)) for mode in each.modes}
            if each.peer and available()
            else {}
            for each in group
        ]
        theirs: list[dict[str, list[float]]] = [{mode: [] for mode in each} for each in peers]
        for each in group:
            each.ours()  # compiles
        for turn in range(pairs):
            tell(turn + 1)
            for index, each in enumerate(group):
                ours[index].append(each.time())
                for mode in _worth_running(theirs[index]):
                    peer = peers[index][mode]
                    theirs[index][mode].append(each.peer_time(peer.run(), peer.processes))
    return [
        Row(each.name, each.unit, tuple(mine), {mode: tuple(times) for mode, times in others.items()})
        for each, mine, others in zip(group, ours, theirs, strict=True)
    ]


def _worth_running(times: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the modes but those that took `HOPELESS` times as long as the fastest in the first turn."""
    fastest = min((each[0] for each in times.values() if each), default=0.0)
    return [mode for mode, each in times.items() if not each or each[0] <= HOPELESS * fastest]


def _tell(status: Status, name: str, pairs: int, turn: int) -> None:
    status.update(f"{name}: turn {turn} of {pairs}")


def _has(rows: Sequence[Row], mode: str) -> bool:
    return any(mode in row.peers for row in rows)


def _table(rows: Sequence[Row], modes: Sequence[str]) -> list[tuple[str, ...]]:
    return [
        (
            row.name,
            row.unit,
            _spread(row.ours, 3),
            *(_spread(row.ratios(mode), 2, "×") if mode in row.peers else "" for mode in modes),
        )
        for row in rows
    ]


def _spread(values: Sequence[float], digits: int, sign: str = "") -> str:
    low, median, high = min(values), statistics.median(values), max(values)
    return f"{median:.{digits}f}{sign} ({low:.{digits}f}–{high:.{digits}f})"


def _facts(pairs: int, rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the numbers were measured with, and what follows from several of them."""
    made_with = provenance()
    medians = {row.name: statistics.median(row.ours) for row in rows}
    facts: dict[str, Any] = {
        "machine": f"{made_with['devices']} × {made_with['device']}, {_processor()}, {made_with['machine']}",
        "versions": ", ".join(f"{name} {made_with[name]}" for name in ("supermask", "python", "jax", "jaxlib", "numpy"))
        + (f", torch {version('torch')}" if available() else ""),
        "commit": made_with["commit"],
        "supermask --help": f"{_seconds_to_help():.2f} s",
        "most memory held": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB",
    }
    if "fc: training" in medians:
        plain, bound = (
            medians["fc: training"],
            medians["fc: its matrix products alone"] + medians["fc: Adam's update alone"],
        )
        facts["fc: bound"] = f"{bound:.3f} ms a network-step; training takes {plain / bound:.2f} times that"
        facts["fc: validation"] = f"{100 * (medians['fc: training and validation'] / plain - 1):.0f}% of training"
    return facts


def _seconds_to_help() -> float:
    """Return the seconds of the fastest of three calls."""
    command = [sys.executable, "-c", "from supermask.figures.command import main; main()", "--help"]
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def _processor() -> str:
    """Return the processor's name, if Linux reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
