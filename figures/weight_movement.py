"""Where weights move: evidence that weights near zero after training were moving toward zero.

Zhou et al. 2019, section 4; the paper has no figure of it.

For the lottery ticket algorithm, round by round: which weights move toward zero (those to be pruned, or those kept),
how far both move, and how many kept weights change their sign. On top, every layer's weights before pruning.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from supermask.analysis.drawing import plots, styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import BANDS, Axes, Frame, Picture, finish, panels_of
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.studies.experiment import Study
from supermask.masks import full_masks, weights_remaining
from supermask.networks import kernels_of
from supermask.restarts import Treatment

ALGORITHM = Treatment()
BINS = 61
WHOLE = "whole network"

CLAIMS = (
    Claim(
        "weights that large_final prunes were on their way to zero: a larger share of them than of the kept weights "
        "moved toward zero, at every round",
        "Zhou et al. 2019, section 4",
        {"group": "pruned", "layer": WHOLE},
        {"group": "kept", "layer": WHOLE},
        metric="toward_zero",
    ),
    Claim(
        "kept weights move further than the weights that are pruned, at every round",
        "implied by Zhou et al. 2019, section 4",
        {"group": "kept", "layer": WHOLE},
        {"group": "pruned", "layer": WHOLE},
        metric="distance",
    ),
)


def study(shown: Shown) -> Study:
    """Return the lottery ticket algorithm alone."""
    return Study((ALGORITHM,))


def tabulate(results: Results) -> pd.DataFrame:
    """Return two kinds of rows, distinguished by `panel`.

    movement: one row per (seed, round, layer, group); a group is the live weights that the next mask keeps, or those
    that it prunes. Columns: `share` of the layer's live weights, `toward_zero` (fraction with |wf| < |wi|),
    `distance` (mean |wf - wi|) and `flipped` (fraction whose sign is not the initial one).
    density: one row per (layer, cell of the plane) of the first seed's unpruned network: its centre and its weights.
    """
    rows = [*_density(results)]
    for seed in results.experiment.seeds:
        rows += _movement(results, seed)
    return results.labelled(pd.DataFrame(rows))


def _density(results: Results) -> Iterator[dict[str, Any]]:
    initial, final = (kernels_of(params) for params in results.unpruned_weights(results.experiment.seeds[0]))
    for layer in initial:
        before, after = (np.asarray(kernels[layer]).ravel() for kernels in (initial, final))
        reach = 1.05 * max(np.abs(before).max(), np.abs(after).max())
        edges = np.linspace(-reach, reach, BINS + 1)
        counts = np.histogram2d(before, after, bins=(edges, edges))[0].astype(int)
        centres = (edges[1:] + edges[:-1]) / 2
        for x, y in zip(*np.nonzero(counts), strict=True):
            cell = {"w_initial": centres[x], "w_final": centres[y], "cell": edges[1] - edges[0]}
            yield {"panel": "density", "layer": layer, "weights": counts[x, y], **cell}


def _movement(results: Results, seed: int) -> Iterator[dict[str, Any]]:
    initial, trained = (kernels_of(params) for params in results.unpruned_weights(seed))
    masks, final = full_masks(initial), trained
    for round_ in range(results.experiment.protocol.rounds):
        next_masks, next_final = results.end_of_round(ALGORITHM, seed, round_ + 1)
        for group in ("kept", "pruned"):
            members = {n: np.asarray(masks[n]) & (np.asarray(next_masks[n]) == (group == "kept")) for n in masks}
            common = {"panel": "movement", "seed": seed, "round": round_, "group": group}
            common["weights_remaining"] = weights_remaining(masks)
            pairs = {n: (np.asarray(initial[n])[members[n]], np.asarray(final[n])[members[n]]) for n in masks}
            alive = {n: int(np.sum(masks[n])) for n in masks}
            before, after = (np.concatenate(side) for side in zip(*pairs.values(), strict=True))
            pairs[WHOLE] = before, after
            alive[WHOLE] = sum(alive.values())
            for layer, (before, after) in pairs.items():
                yield {**common, "layer": layer, "share": len(before) / alive[layer], **_moved(before, after)}
        masks, final = next_masks, next_final


def _moved(before: np.ndarray, after: np.ndarray) -> dict[str, float]:
    if not len(before) or not np.isfinite(after).all():  # a diverged training has no movement to measure
        return dict.fromkeys(("toward_zero", "distance", "flipped"), float("nan"))
    return {
        "toward_zero": float(np.mean(np.abs(after) < np.abs(before))),
        "distance": float(np.mean(np.abs(after - before))),
        "flipped": float(np.mean(before * after < 0)),
    }


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw the layers' clouds above; below, movement toward zero, distance, and sign flips by round."""
    density, movement = (table[table["panel"] == panel] for panel in ("density", "movement"))
    layers = list(dict.fromkeys(density["layer"]))
    columns = max(3, len(layers))
    count = columns + 3 if frame.width is None else len(layers) + 3  # a row of clouds, unless all follow one another
    picture, panels = panels_of(count, frame, width=3.6, height=3.4, columns=columns)
    for place in panels[len(layers) : -3]:
        place.set_visible(False)
    for place, layer in zip(panels, layers, strict=False):
        _cloud(place, density[density["layer"] == layer])
        place.set_title(f"{layer}, unpruned network, seed {movement['seed'].min():g}")
    panels[0].set_ylabel("final weight")
    whole = movement[movement["layer"] == WHOLE]
    _by_group(panels[-3], whole, "toward_zero", 100, "moved toward zero, % of the group")
    _by_group(panels[-2], whole, "distance", 1, "mean distance moved")
    _flips(panels[-1], movement[movement["group"] == "kept"], layers)
    title = "Where weights move: kept and pruned weights of the lottery ticket algorithm"
    finish(picture, frame, title, f"Kept, pruned: by the next mask. {BANDS}")
    return picture


def _cloud(axes: Axes, cells: pd.DataFrame) -> None:
    from matplotlib.colors import LogNorm

    size = cells["cell"].iloc[0]
    reach = size * BINS / 2
    counts = np.zeros((BINS, BINS))
    x, y = (((cells[name] + reach) / size).astype(int) for name in ("w_initial", "w_final"))
    counts[y, x] = cells["weights"]
    extent = (-reach, reach, -reach, reach)
    shown = np.ma.masked_equal(counts, 0)
    axes.imshow(shown, origin="lower", extent=extent, cmap="cividis_r", norm=LogNorm(), interpolation="nearest")
    axes.axline((0, 0), slope=1, color="black", linewidth=0.5, linestyle=":")
    axes.axhline(0, color="black", linewidth=0.4)
    axes.axvline(0, color="black", linewidth=0.4)
    axes.set_xlabel("initial weight (dotted: did not move)")


def _by_group(axes: Axes, rows: pd.DataFrame, value: str, scale: float, label: str) -> None:
    groups = {"kept": styles.Style(styles.BLUE, "o"), "pruned": styles.Style(styles.RED, "s", "--")}
    for group, style in groups.items():
        plots.seed_band(axes, rows[rows["group"] == group], value, style, group, scale)
    plots.remaining_axis(axes, rows, label)
    axes.set_ylim(bottom=0)
    axes.legend()


def _flips(axes: Axes, rows: pd.DataFrame, layers: Sequence[str]) -> None:
    looks = zip(
        (styles.BLUE, styles.ORANGE, styles.GREEN, styles.RED, styles.PURPLE, styles.SKY), "os^DvP", strict=True
    )
    palette = [styles.Style(colour, marker) for colour, marker in looks]
    for index, layer in enumerate(layers):
        plots.seed_band(axes, rows[rows["layer"] == layer], "flipped", palette[index % len(palette)], layer, 100)
    plots.remaining_axis(axes, rows, "kept weights whose sign flipped, %")
    axes.set_ylim(bottom=0)
    axes.legend()


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return percent toward zero, percent flipped and distance × 1000 of kept and pruned weights, over all rounds."""
    rows = table[(table["panel"] == "movement") & (table["layer"] == WHOLE)]
    means = rows.groupby("group")[["toward_zero", "flipped", "distance"]].mean()
    means *= [100, 100, 1000]
    return means.set_axis(["moved toward zero, %", "sign flipped, %", "distance × 1000"], axis=1).rename_axis("weights")


FIGURE = Drawing(
    compares="else",
    names=(),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
