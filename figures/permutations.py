"""Permutations: one network of random weights, and a mask for any order of pixels or classes.

Masks for the data as it is, for five permutations of pixels and five of classes, learned and cut from trained networks:
their accuracy, on the tasks of the others, too, and what they have in common. On the right, many permutations of pixels
in superposition: the task of unlabelled images is inferred by one gradient step. Zhou et al. 2019 (the post's last
remark); Wortsman et al. 2020 (arXiv 2006.14769).
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import pandas as pd

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Picture, finish
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import BLACK, BLUE, GREEN, ORANGE, RED, Style, Styles
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.superposition import Superposed
from supermask.analysis.kinds.task_pair import TaskPairs
from supermask.analysis.kinds.tasks import FEW, PERMUTED, TaskMasks
from supermask.analysis.studies.experiment import Study

LINES = {"learned": "learned", "cut from training": "cut"}
"""How masks are found, by label."""

SUPERPOSED = "superposition"
STYLES: Styles = {"learned": Style(BLUE, "o"), "cut from training": Style(ORANGE, "s"), SUPERPOSED: Style(GREEN, "D")}

TITLE = "Permutations: one network of random weights, a mask for each order of pixels or classes"
WORDS = {"nothing": "as it is", "pixels": "pixels", "classes": "classes"}
OBSERVED, BY_CHANCE, BY_UNITS = "observed", "by chance", "by chance, input by input"
INFERRED, GIVEN = "task inferred", "task given"

_OFFSETS = (-0.15, 0.15)
"""Where the ways to find a mask are drawn, beside a tick."""

_POST = "Zhou et al. 2019, the post's last remark: masks alone fit one random network to any permutation"
_ABOVE = 0.10
"""How far above chance a mask may be on another's task: permutations of ten classes agree in one by chance, but in more
or fewer from pair to pair."""


def _pairs(found: str, permuted: str, reading: str) -> dict[str, str | float]:
    return {"part": "pairs", "found": found, "permuted": permuted, "reading": reading}


CLAIMS = (
    *(
        Claim(
            f"learned masks fit any order of {permuted}: less than half a point below the data as it is, on average "
            f"over {FEW} permutations",
            _POST,
            {"part": "tasks", "found": "learned", "permuted": permuted},
            {"part": "tasks", "found": "learned", "permuted": "nothing"},
            margin=-0.005,
            every_level=False,
            baseline=True,
        )
        for permuted in PERMUTED[1:]
    ),
    *(
        Claim(
            f"{found} masks for different orders of {permuted} agree as chance would have it: they overlap less than 2 "
            "points more than independent masks with the same counts in each layer",
            "no statement of the paper",
            _pairs(found, permuted, OBSERVED),
            _pairs(found, permuted, BY_CHANCE),
            metric="overlap",
            smaller=True,
            margin=-0.02,
        )
        for found, permuted in product(LINES.values(), PERMUTED[1:])
    ),
    *(
        Claim(
            f"a learned mask is worth nothing on another's order of {permuted}: less than 10 points above chance, one "
            "over the number of classes",
            _POST,
            _pairs("learned", permuted, OBSERVED),
            _pairs("learned", permuted, BY_CHANCE),
            smaller=True,
            margin=-_ABOVE,
        )
        for permuted in PERMUTED[1:]
    ),
    Claim(
        "one gradient step tells which permutation unlabelled images have: with the inferred task, answers are less "
        "than a point below those with the task given, for every number of tasks",
        "Wortsman et al. 2020: often sufficient, even among 2,500 permutations of MNIST",
        {"part": SUPERPOSED, "reading": INFERRED},
        {"part": SUPERPOSED, "reading": GIVEN},
        margin=-0.01,
    ),
)


def study(shown: Shown) -> Study:
    """Return the masks of all tasks, their comparisons, and the superposition."""
    runs: list[Any] = []
    for label, found in LINES.items():
        if label in shown.names:
            runs += [TaskMasks(permuted, found) for permuted in PERMUTED]
            runs += [TaskPairs(permuted, found) for permuted in PERMUTED[1:]]
    return Study((*runs, *((Superposed(),) if SUPERPOSED in shown.names else ())))


def tabulate(results: Results) -> pd.DataFrame:
    """Return rows of three parts, with `found`: how masks are found.

    'tasks': accuracy of the mask of each task; `round` is the task's number, 0 for the data as it is. 'pairs': means
    over pairs of tasks; `overlap` of their masks and `test_accuracy` on the other's task, as they are and as chance has
    them. 'superposition': accuracy of answers with the task inferred and given; `round` is the number of tasks.
    """
    return results.labelled(pd.DataFrame([row for seed in results.experiment.seeds for row in _rows(results, seed)]))


def _rows(results: Results, seed: int) -> Iterator[dict[str, Any]]:
    experiment = results.experiment
    for label, found in LINES.items():
        if label not in results.shown.names:
            continue
        own = {"found": found, "seed": seed}
        for permuted in PERMUTED:
            for named in results_of(experiment, TaskMasks(permuted, found), seed)[:FEW]:
                metrics = {name: results.metrics_of(named.id)[name] for name in ("weights_remaining", "test_accuracy")}
                number = named.description["task"]["number"]
                yield {"part": "tasks", **own, "permuted": permuted, "round": number} | metrics
        for permuted in PERMUTED[1:]:
            metrics = results.metrics(TaskPairs(permuted, found), seed)
            common = {"part": "pairs", **own, "permuted": permuted, "round": 0}
            common |= {"weights_remaining": metrics["weights_remaining"]}
            chance = 1 / experiment.data.classes
            yield common | {
                "reading": OBSERVED,
                "overlap": metrics["overlap"],
                "test_accuracy": metrics["test_accuracy"],
            }
            yield common | {"reading": BY_CHANCE, "overlap": metrics["overlap_by_chance"], "test_accuracy": chance}
            yield common | {"reading": BY_UNITS, "overlap": metrics["overlap_by_units"]}
    if SUPERPOSED in results.shown.names:
        for named in results_of(experiment, Superposed(), seed):
            metrics = results.metrics_of(named.id)
            common = {"part": SUPERPOSED, "found": "learned", "permuted": "pixels", "seed": seed}
            common |= {"round": named.description["superposition"]["tasks"]}
            names = ("weights_remaining", "inference_accuracy", "bytes_a_task", "bytes_at_one_bit")
            common |= {name: metrics[name] for name in names}
            yield common | {"reading": INFERRED, "test_accuracy": metrics["test_accuracy"]}
            yield common | {"reading": GIVEN, "test_accuracy": metrics["test_accuracy_given"]}


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw accuracy on a mask's own task and on another's, overlaps of masks, and the superposition."""
    parts = {part: table[table["part"] == part] for part in ("tasks", "pairs", SUPERPOSED)}
    tasks, pairs, superposed = parts.values()
    number = 3 * bool(len(tasks)) + bool(len(superposed))
    picture, panels = plots.new_picture(number, frame, width=3.1, height=3.6)
    if len(tasks):
        own, others, overlaps = panels[:3]
        _dots(own, tasks, "test_accuracy", PERMUTED, "test accuracy, %", "on its own task")
        observed = pairs[pairs["reading"] == OBSERVED]
        _dots(others, observed, "test_accuracy", PERMUTED[1:], "test accuracy, %", "on the tasks of the others")
        _dots(overlaps, observed, "overlap", PERMUTED[1:], "overlap of two masks, %", "masks of two tasks")
        _by_chance(others, pairs, "test_accuracy")
        _by_chance(overlaps, pairs, "overlap")
        others.set_ylim(0, max(30.0, 105 * float(pairs["test_accuracy"].max())))
        overlaps.set_ylim(0, 100)
    if len(superposed):
        _superposed(panels[-1], superposed)
    note = f"Small dots: seeds, and on the left permutations. Large ones: means. {BANDS}"
    finish(picture, frame, TITLE, note, panels[2] if len(tasks) else None)
    return picture


def _dots(axes: Axes, rows: pd.DataFrame, value: str, kinds: Sequence[str], label: str, title: str) -> None:
    """Draw a value by what is permuted, side by side for the ways to find a mask."""
    for offset, (name, found) in zip(_OFFSETS, LINES.items(), strict=True):
        style = STYLES[name]
        for place, permuted in enumerate(kinds):
            values = 100 * rows.loc[(rows["found"] == found) & (rows["permuted"] == permuted), value]
            if not len(values):
                continue
            x = place + offset
            axes.plot([x] * len(values), values, style.marker, color=style.colour, markersize=2.5, alpha=0.5)
            axes.plot([x], [values.mean()], style.marker, color=style.colour, markersize=7, label=_once(axes, name))
    axes.set_xticks(range(len(kinds)), [WORDS[permuted] for permuted in kinds])
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.set_xlabel("what is permuted")
    axes.set_ylabel(label)
    axes.set_title(title)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _by_chance(axes: Axes, pairs: pd.DataFrame, value: str) -> None:
    """Draw what chance has in place of each mean of `_dots`."""
    for reading, marker, size in ((BY_CHANCE, "_", 16), (BY_UNITS, "x", 6)):
        for offset, found in zip(_OFFSETS, LINES.values(), strict=True):
            rows = pairs[(pairs["reading"] == reading) & (pairs["found"] == found)]
            means = 100 * rows.groupby("permuted")[value].mean().dropna()
            for place, permuted in enumerate(PERMUTED[1:]):
                if permuted in means:
                    words, at = _once(axes, reading), place + offset
                    axes.plot([at], [means[permuted]], marker, color=BLACK, markersize=size, zorder=3, label=words)


def _once(axes: Axes, label: str) -> str:
    """Return a label that the legend does not have yet, else one that it leaves out."""
    return "_" if label in axes.get_legend_handles_labels()[1] else label


def _superposed(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw accuracy of answers and of the inference by the number of tasks."""
    given, inferred = (rows[rows["reading"] == reading] for reading in (GIVEN, INFERRED))
    for own, value, style, label in (
        (given, "test_accuracy", Style(BLACK, "x", ":"), "answers, task given"),
        (inferred, "test_accuracy", STYLES[SUPERPOSED], "answers, task inferred"),
        (inferred, "inference_accuracy", Style(RED, "^", "--", hollow=True), "inferred tasks"),
    ):
        plots.value_band(axes, own, "round", value, style, label)
    axes.set_xscale("log")
    plots.plain_ticks(axes.xaxis, sorted(set(rows["round"])))
    axes.set_ylim(0, 101)
    axes.set_title("unlabelled batches of permuted pixels")
    axes.legend(loc="lower left", fontsize="small")
    plots.label_axes(axes, "tasks in superposition (log)", "right, %")


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds, a measure a row: of each kind of task, and for each number of tasks in superposition."""
    means: dict[str, float] = {}
    for (label, found), permuted in product(LINES.items(), PERMUTED):
        rows = table[(table["found"] == found) & (table["permuted"] == permuted)]
        own, pairs = rows[rows["part"] == "tasks"], rows[rows["part"] == "pairs"]
        if len(own):
            means[f"{label}, {WORDS[permuted]}: accuracy, %"] = 100 * own["test_accuracy"].mean()
        if len(pairs):
            readings = 100 * pairs.groupby("reading")[["test_accuracy", "overlap"]].mean()
            means[f"{label}, {WORDS[permuted]}: accuracy on other tasks, %"] = readings["test_accuracy"][OBSERVED]
            means[f"{label}, {WORDS[permuted]}: overlap of masks, %"] = readings["overlap"][OBSERVED]
            means[f"{label}, {WORDS[permuted]}: overlap by chance, %"] = readings["overlap"][BY_CHANCE]
    for number, own in table[table["part"] == SUPERPOSED].groupby("round"):
        readings = 100 * own.groupby("reading")[["test_accuracy", "inference_accuracy"]].mean()
        means[f"{number} tasks: accuracy, task given, %"] = readings["test_accuracy"][GIVEN]
        means[f"{number} tasks: accuracy, task inferred, %"] = readings["test_accuracy"][INFERRED]
        means[f"{number} tasks: inferred right, %"] = readings["inference_accuracy"][INFERRED]
        means[f"{number} tasks: bytes a task"] = own["bytes_a_task"].mean()
    return pd.DataFrame({"mean": means}).rename_axis("of masks")


FIGURE = Drawing(
    compares="else",
    names=tuple(STYLES),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
    styles=STYLES,
)
