"""Rewinding: weights to the start, weights to a later step, or the learning rate alone; and the signs that each flips.

Renda et al. 2020 (arXiv 2003.02389); Gadhikar & Burkholz 2024 (arXiv 2402.19262). Left, test accuracy of iteratively
pruned networks. Right, how many of the kept weights end with another sign than they had before any training. If only
the learning rate goes back, weights go on from where they are, and signs that have flipped stay flipped. Under a
constant learning rate, such as the papers' Adam, that is fine-tuning of full length.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from supermask.actions import KEPT_ACTIONS
from supermask.analysis.drawing import plots
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.frame import BANDS, Frame, Picture, finish
from supermask.analysis.drawing.results import Results
from supermask.analysis.drawing.styles import BLUE, GREEN, ORANGE, RED, Style
from supermask.analysis.drawing.treatments import Line, styles_of, treatment_drawing
from supermask.analysis.kinds.rounds import UNPRUNED
from supermask.criteria import CRITERIA
from supermask.masks import Masks, full_masks
from supermask.networks import Kernels, kernels_of
from supermask.restarts import Treatment

_TRAINED = KEPT_ACTIONS["trained"]

LINES = {
    "weights to the start": Line(Treatment(), Style(BLUE, "o")),
    "weights to step 50": Line(Treatment(rewind_step=50), Style(GREEN, "D")),
    "learning rate alone": Line(Treatment(kept=_TRAINED), Style(RED, "s")),
    "learning rate alone, pruned at random": Line(
        Treatment(CRITERIA["random"], _TRAINED), Style(ORANGE, "^", "--", hollow=True)
    ),
}
START, STEP, RATE, RANDOM = ({"treatment": label} for label in LINES)

CLAIMS = (
    Claim(
        "rewinding the learning rate alone does as well as rewinding weights to the start: less than a point below, at "
        "every level",
        "Renda et al. 2020, section 4: of ResNets and of GNMT, better than or equal to weight rewinding",
        RATE,
        START,
        below=0.99,
        margin=-0.01,
    ),
    Claim(
        "rewinding the learning rate alone is better than rewinding weights to the start, on average over the levels "
        "below 5% of the weights",
        "Gadhikar & Burkholz 2024: learning-rate rewinding wins where networks are sparse",
        RATE,
        START,
        below=0.05,
        every_level=False,
    ),
    Claim(
        "rewinding the learning rate alone flips more signs: more of the kept weights end with another sign than they "
        "began with, on average over the levels below 20% of the weights",
        "Gadhikar & Burkholz 2024: it flips signs early in pruning, which weight rewinding undoes",
        RATE,
        START,
        metric="flipped",
        below=0.20,
        every_level=False,
    ),
)


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (treatment, seed, round), with `flipped`: the fraction of kept weights whose sign flipped.

    It compares the end of the round with the initial weights.
    """
    table = _DRAWING.tabulate(results)
    runs = {label: line.run for label, line in LINES.items() if label in results.shown.names}
    flipped = {
        (label, seed, round_): share
        for seed in results.experiment.seeds
        for label, run in {UNPRUNED: None, **runs}.items()
        for round_, share in _flipped_by_round(results, run, seed)
    }
    keys = table[["treatment", "seed", "round"]].itertuples(index=False, name=None)
    return table.assign(flipped=[flipped[key] for key in keys])


def _flipped_by_round(results: Results, run: Treatment | None, seed: int) -> Iterator[tuple[int, float]]:
    """Yield each round, and the fraction of its kept weights whose sign flipped; round 0 where there is no run."""
    initial, trained = (kernels_of(params) for params in results.unpruned_weights(seed))
    if run is None:
        yield 0, flipped_share(initial, trained, full_masks(initial))
        return
    for round_ in range(1, results.experiment.protocol.rounds + 1):
        masks, final = results.end_of_round(run, seed, round_)
        yield round_, flipped_share(initial, final, masks)


def flipped_share(initial: Kernels, final: Kernels, masks: Masks) -> float:
    """Return the fraction of kept weights whose sign is not the initial one; NaN if none is kept or one diverged."""
    kept = {layer: np.asarray(mask) for layer, mask in masks.items()}
    before, after = (np.concatenate([np.asarray(w[n])[kept[n]] for n in kept]) for w in (initial, final))
    if not before.size or not np.isfinite(after).all():
        return float("nan")
    return float(np.mean(before * after < 0))


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw accuracy on the left, its top in the middle, and flipped signs on the right."""
    picture, (whole, top, flips) = plots.new_picture(3, frame, width=3.6)
    plots.both_ranges(whole, top, table, styles_of(LINES))
    plots.accuracy_lines(flips, table, styles_of(LINES), by="treatment", value="flipped")
    plots.remaining_axis(flips, table, "flipped signs, % of kept weights")
    flips.set_ylim(bottom=0)
    flips.set_title("signs unlike the initial ones")
    finish(picture, frame, "Rewinding: what goes back, and which signs flip", BANDS, whole)
    return picture


_DRAWING = treatment_drawing(compares="else", lines=LINES, draw=draw, claims=CLAIMS)

FIGURE = replace(_DRAWING, tabulate=tabulate)
