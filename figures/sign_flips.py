"""Sign flips: how many weights end with another sign than they began with, which ones, and how often a sign changes.

From trainings whose weights' signs were looked at every few steps. Most weights keep their initial sign, and those that
flip began near 0: arXiv 2602.17063 (2026), sign lock-in, with a geometric tail of the number of flips.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Picture, finish, panels_of
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.styles import Style
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.sign_flips import Flips, UnprunedFlips
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Study
from supermask.keys import layer_order
from supermask.sign_flips import FlipCounts
from supermask.tails import Tail, geometric_logs, geometric_tail, poisson_logs

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the protocol's learning rate, and of its epochs."""

RATES = {factor: UnprunedFlips(rate=factor) for factor in FACTORS}
LENGTHS = {factor: UnprunedFlips(length=factor) for factor in FACTORS}
EVERY_STEP = UnprunedFlips(every_step=True)

WHOLE = "whole network"
SAME, OTHER = "as at first", "another"
GEOMETRIC, POISSON = "geometric", "Poisson"

_LOCK_IN = "arXiv 2602.17063 (2026)"


def _of_fit(fit: str) -> Mapping[str, str]:
    return {"panel": "tail", "fit": fit}


CLAIMS = (
    Claim(
        "most weights keep their initial sign: more kept weights end with the sign that they began with than with "
        "another, at every level",
        _LOCK_IN,
        {"panel": "signs", "layer": WHOLE, "sign": SAME},
        {"panel": "signs", "layer": WHOLE, "sign": OTHER},
        metric="share",
    ),
    Claim(
        "weights that begin near 0 change their sign more often: in the unpruned network, more weights of each layer's "
        "nearest tenth at the start than of its farthest tenth end with another sign",
        _LOCK_IN,
        {"panel": "distance", "layer": WHOLE, "tenth": 1},
        {"panel": "distance", "layer": WHOLE, "tenth": 10},
        metric="share",
    ),
    Claim(
        "the number of flips of a weight has a geometric tail: in the unpruned network, from one flip on, the most "
        "likely geometric distribution is nearer than the most likely Poisson distribution",
        _LOCK_IN,
        _of_fit(GEOMETRIC),
        _of_fit(POISSON),
        metric="gap",
        above=0.99,
        smaller=True,
    ),
    Claim(
        "a higher learning rate flips more signs: twice the rate more than half of it, in the unpruned network",
        "follows from crossings of 0: steps are longer",
        {"panel": "rate", "factor": 2},
        {"panel": "rate", "factor": 0.5},
        metric="flips",
    ),
    Claim(
        "a longer training changes more signs: four times the epochs more than a quarter of them, in the unpruned "
        "network",
        "follows from crossings of 0: weights go farther",
        {"panel": "length", "factor": 4},
        {"panel": "length", "factor": 0.25},
        metric="share",
    ),
)


def study(shown: Shown) -> Study:
    """Return recorded trainings: of all rounds, at other rates and lengths, and one that is looked at in every step."""
    return Study((*RATES.values(), *LENGTHS.values(), EVERY_STEP, Flips()))


def tabulate(results: Results) -> pd.DataFrame:
    """Return several kinds of rows, distinguished by `panel`; each has its training's loss and accuracy.

    signs: two rows per (seed, round, layer): the `share` of its kept weights that end with the `sign` that they began
        with, or with another, and the `flips` per weight.
    distance: one row per (seed, layer, `tenth` of it by initial distance from 0), of the unpruned network.
    rate, length, looks: one row per (seed, `factor` of the learning rate; of the epochs; `every`, steps from one look
        to the next), of the unpruned network. `flipped` is the share of weights that flipped at least once.
    number: one row per (seed, number of `times` that weights flipped): their `share`, and the fits'.
    waits: the same for the steps from one flip to the next, `times` the steps between looks.
    tail: two rows per (seed, round): the `gap` between the tail's cumulative shares and those of a `fit`.
    """
    return results.labelled(pd.DataFrame([row for seed in results.experiment.seeds for row in _rows(results, seed)]))


def _rows(results: Results, seed: int) -> Iterator[dict[str, Any]]:
    for panel, runs in (("rate", RATES), ("length", LENGTHS)):
        for factor, run in runs.items():
            (found,) = _found(results, run, seed)
            yield found.row(panel, factor=factor) | found.totals
    for run in (RATES[1.0], EVERY_STEP):
        (found,) = _found(results, run, seed)
        yield found.row("looks") | found.totals
    (unpruned,) = _found(results, RATES[1.0], seed)
    yield from unpruned.by_distance()
    yield from unpruned.distributions()
    for found in (unpruned, *_found(results, Flips(), seed)):
        yield from found.by_layer()
        yield from found.fits()


def _found(results: Results, run: UnprunedFlips | Flips, seed: int) -> Iterator["_Found"]:
    for named in results_of(results.experiment, run, seed):
        yield _Found(named.description, results.metrics_of(named.id), results.arrays_of(named.id))


class _Found:
    """A stored training with recorded signs, as rows of the table."""

    def __init__(self, description: Description, metrics: Mapping[str, float], arrays: Mapping[str, np.ndarray]):
        self._metrics, self._arrays = metrics, arrays
        self._every: int = description["flips"]["every"]
        self._own = {
            **{"seed": description["seed"], "round": description["round"], "every": self._every},
            **{"learning_rate": description["learning_rate"], "step": description["steps"]},
            **{name: metrics[name] for name in ("weights_remaining", "test_accuracy", "validation_loss")},
        }

    def row(self, panel: str, **cells: Any) -> dict[str, Any]:
        """Return the cells that all rows of the training have, and these."""
        return {"panel": panel} | self._own | cells

    @property
    def totals(self) -> dict[str, float]:
        """The whole network's shares of weights that changed and flipped, and flips per weight."""
        changed, flipped, flips = (self._metrics[name] for name in ("changed", "flipped", "flips_per_weight"))
        return {"share": changed, "flipped": flipped, "flips": flips}

    def by_layer(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of `signs`."""
        layers = {layer: _shares(self._arrays[f"distance.{layer}"].sum(0)) for layer in self._layers}
        for layer, shares in (layers | {WHOLE: self.totals}).items():
            yield self.row("signs", layer=layer, sign=OTHER) | shares
            yield self.row("signs", layer=layer, sign=SAME) | shares | {"share": 1 - shares["share"]}

    def by_distance(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of `distance`: tenths of the whole network are those of its layers together."""
        layers = {layer: self._arrays[f"distance.{layer}"] for layer in self._layers}
        for layer, tenths in (layers | {WHOLE: np.sum(list(layers.values()), axis=0)}).items():
            for number, tenth in enumerate(tenths, 1):
                yield self.row("distance", layer=layer, tenth=number) | _shares(tenth)

    def distributions(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of `number` and `waits`."""
        numbers, waits = self._summed("number"), np.concatenate([[0], self._summed("waits")]).astype(int)
        for panel, counts, unit in (("number", numbers, 1), ("waits", waits, self._every)):
            tail, logs = _fitted(counts)
            total = max(counts.sum(), 1)
            for times in range(1, len(counts)):
                fits = {fit: tail.size / total * np.exp(log[times - 1]) for fit, log in logs.items()}
                yield self.row(panel, times=times * unit, share=counts[times] / total) | fits

    def fits(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of `tail`."""
        tail = geometric_tail(self._summed("number"))
        for fit, gap in ((GEOMETRIC, tail.geometric), (POISSON, tail.poisson)):
            yield self.row("tail", fit=fit, gap=gap, ratio=tail.ratio, advantage=tail.advantage)

    @property
    def _layers(self) -> list[str]:
        return layer_order(name.removeprefix("number.") for name in self._arrays if name.startswith("number."))

    def _summed(self, name: str) -> np.ndarray:
        """Return a distribution over all layers."""
        own = [self._arrays[f"{name}.{layer}"] for layer in self._layers]
        found = np.zeros(max(map(len, own)), int)
        for each in own:
            found[: len(each)] += each
        return found


def _shares(counts: np.ndarray) -> dict[str, float]:
    """Return shares of weights, NaN of none, from counts as in `FlipCounts`."""
    own = FlipCounts(*map(int, counts))
    weights = own.weights or float("nan")
    return {"share": own.changed / weights, "flipped": own.flipped / weights, "flips": own.flips / weights}


def _fitted(counts: np.ndarray) -> tuple[Tail, dict[str, np.ndarray]]:
    """Return the tail of a distribution from 1 on, and the logarithms of the fits' shares from 1 on."""
    tail, length = geometric_tail(counts), len(counts)
    return tail, {GEOMETRIC: geometric_logs(tail.ratio, length), POISSON: poisson_logs(tail.rate, 1, length)}


_LOOKS = [
    Style(colour, marker, dash, hollow)
    for marker, dash, hollow in (("o", "-", False), ("s", "--", True))
    for colour in (styles.BLUE, styles.ORANGE, styles.GREEN, styles.RED, styles.PURPLE, styles.SKY)
]
PER_WEIGHT = {
    "flips": ("flips", Style(styles.RED, "^", "--")),
    "flipped": ("weights that flipped", Style(styles.ORANGE, "s", "-.")),
    "share": ("weights that end with another sign", Style(styles.BLUE, "o")),
}


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw changed signs by level and by initial distance, distributions with their fits, and rates and lengths."""
    rows = {str(panel): own for panel, own in table.groupby("panel")}
    picture, panels = panels_of(6, frame, width=3.9, height=3.3, columns=3)
    signs = rows["signs"][rows["signs"]["sign"] == OTHER]
    layers = list(dict.fromkeys(signs["layer"]))
    looks = dict(zip(layers, _LOOKS, strict=False)) | {WHOLE: Style(styles.BLACK, "x", ":")}
    for layer in layers:
        plots.seed_band(panels[0], signs[signs["layer"] == layer], "share", looks[layer], layer, 100)
        tenths = rows["distance"][rows["distance"]["layer"] == layer]
        plots.value_band(panels[1], tenths, "tenth", "share", looks[layer], layer)
    plots.remaining_axis(panels[0], signs, "end with another sign, % of kept")
    panels[0].set_title("by layer and level of pruning")
    plots.label_axes(panels[1], "tenth of the layer; 1 began nearest to 0", "end with another sign, %")
    panels[1].set_title("unpruned, by initial distance from 0")
    for axes, panel, label, value_label, fits in (
        (panels[2], "number", "number of flips of a weight", "weights, %", (GEOMETRIC, POISSON)),
        (panels[3], "waits", "steps from a flip to the next", "waiting times, %", (GEOMETRIC,)),
    ):
        if panel in rows:  # there is none if no weight flipped twice
            _distribution(axes, rows[panel], fits)
        axes.set_title("unpruned")
        plots.label_axes(axes, label, f"{value_label} (log)")
    thousandths = rows["rate"].assign(thousandths=1000 * rows["rate"]["learning_rate"])
    for axes, own, column, label in (
        (panels[4], thousandths, "thousandths", "learning rate, thousandths (log)"),
        (panels[5], rows["length"], "step", "steps of the training (log)"),
    ):
        for value, (words, style) in PER_WEIGHT.items():
            plots.value_band(axes, own, column, value, style, words)
        axes.set_xscale("log", base=2)
        plots.plain_ticks(axes.xaxis, sorted(set(own[column])))
        axes.set_title("unpruned")
        plots.label_axes(axes, label, "per 100 weights")
        axes.set_ylim(0, 1.35 * axes.get_ylim()[1])  # room for the legend
    for axes in panels:
        axes.legend(fontsize="x-small", loc="upper left" if axes in panels[4:] else "upper right")
    title = "Sign flips: which weights change their sign, and how often"
    looked = f"Signs looked at every {rows['signs']['every'].iloc[0]:g} steps."
    finish(picture, frame, title, f"{looked} {BANDS}")
    return picture


def _distribution(axes: Axes, rows: pd.DataFrame, fits: Sequence[str]) -> None:
    """Draw a distribution, means over seeds, and its fits as far as it reaches, on a log axis."""
    means = 100 * rows.groupby("times")[list(fits)].mean()
    shares = 100 * rows.groupby("times")["share"].sum() / rows["seed"].nunique()  # a seed without a row has none
    shares = shares.where(shares > 0)
    axes.plot(means.index, shares, "o", color=styles.BLUE, markersize=3, label="measured")
    for fit, colour, dash in ((GEOMETRIC, styles.GREEN, "-"), (POISSON, styles.RED, "--")):
        if fit in fits:
            near = means[fit].where(means[fit] > shares.min() / 3)
            axes.plot(means.index, near, color=colour, linestyle=dash, label=f"{fit}, most likely")
    axes.set_yscale("log")
    least, most = (math.log10(limit) for limit in axes.get_ylim())
    plots.plain_ticks(axes.yaxis, [10.0**power for power in range(math.ceil(least), math.floor(most) + 1)])


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return percent of the unpruned network's weights, and flips per 100: a row a layer, and two kinds of looks."""
    whole = table[table["round"] == 0]
    signs = whole[(whole["panel"] == "signs") & (whole["sign"] == OTHER)]
    means = 100 * signs.groupby("layer", sort=False)[["share", "flipped", "flips"]].mean()
    looks = 100 * whole[whole["panel"] == "looks"].groupby("every")[["share", "flipped", "flips"]].mean()
    looks.index = [f"{WHOLE}, looked at every {every:g} steps" for every in looks.index]
    columns = ["end with another sign, %", "flipped, %", "flips per 100 weights"]
    return pd.concat([means, looks]).set_axis(columns, axis=1).rename_axis("layer")


FIGURE = Drawing(
    compares="else",
    names=(),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
