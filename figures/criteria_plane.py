"""A mask criterion is a region of the plane of initial and final weights.

Zhou et al. 2019, paper figures 1, 2 and 6 (post: figures 5, 6 and 9). The cloud is one layer of
the first seed's trained network: each weight is a point (wi, wf). A criterion keeps the points of one region; here each
region keeps the same fraction of the layer.
"""

import math

import numpy as np
import pandas as pd

from supermask.analysis.drawing import styles
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import Axes, Frame, Picture, finish, panels_of
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.studies.experiment import Study
from supermask.analysis.system.errors import UsageError
from supermask.criteria import CRITERIA as BUILT_IN
from supermask.criteria import EIGHT, SIGN_AWARE, Criterion, LayerFacts

CRITERIA = tuple(criterion.name for criterion in (*EIGHT, *SIGN_AWARE))
LAYER = "hidden2"
KEPT = 0.3
_NOT_IN_PLANE = {"gradient": "gradients", "key": "draws", "network": "the whole network"}
BINS = 61
FRAMED_PANEL = 1.55
"""Minimum width of a panel in inches, if the picture's width is given."""


def study(shown: Shown) -> Study:
    """Return round 0 alone. Raises UsageError for a criterion that the plane cannot show."""
    for name in shown.names:
        if other := {"gradient", "key", "network"} & set(shown.members.criterion[name].needs):
            goes = f"goes by {_NOT_IN_PLANE[min(other)]}"
            raise UsageError(f"criteria has {name}, which {goes}: criteria-plane cannot show it")
    return Study((Unpruned(),))


def tabulate(results: Results) -> pd.DataFrame:
    """Return one row per (criterion, cell of the plane).

    Columns: the cell's centre, the number of weights in it, how many of them are kept, how many of the kept ones have
    their initial sign, and whether the cell is in the criterion's region. `in_region` is 1 where the score at the
    cell's centre exceeds that of every pruned weight. Criteria whose score does not depend on position alone have no
    region.
    """
    initial, final = results.unpruned_weights(results.experiment.seeds[0])
    w_initial, w_final = (np.asarray(params[LAYER]["kernel"], np.float32).ravel() for params in (initial, final))
    edges = _edges(w_initial), _edges(w_final)
    counts = np.histogram2d(w_initial, w_final, bins=edges)[0].astype(int)
    centres = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    grid_initial, grid_final = (side.astype(np.float32).ravel() for side in np.meshgrid(*centres, indexing="ij"))
    tables = []
    for name in results.shown.names:
        criterion = results.shown.members.criterion[name]
        kept, region = _region(criterion, w_initial, w_final, grid_initial, grid_final)
        signed = kept & (w_initial * w_final > 0)
        of_kept, of_signed = (
            np.histogram2d(w_initial[some], w_final[some], bins=edges)[0].astype(int) for some in (kept, signed)
        )
        tables.append(
            pd.DataFrame(
                {
                    "criterion": name,
                    "formula": criterion.formula,
                    "w_initial": grid_initial,
                    "w_final": grid_final,
                    "weights": counts.ravel(),
                    "kept": of_kept.ravel(),
                    "kept_same_sign": of_signed.ravel(),
                    "in_region": region.astype(int),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _edges(weights: np.ndarray) -> np.ndarray:
    """Return edges of bins, symmetric about zero, that extend slightly beyond the largest magnitude.

    Non-finite weights, which a diverged training leaves, are in no bin.
    """
    reach = 1.05 * float(np.abs(weights[np.isfinite(weights)]).max(initial=0.0)) or 1.0
    return np.linspace(-reach, reach, BINS + 1)


def _region(
    criterion: Criterion, w_initial: np.ndarray, w_final: np.ndarray, grid_initial: np.ndarray, grid_final: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which of the layer's weights are kept, and which grid points score above every pruned weight.

    The grid is scored together with the layer but marked as not alive, so that statistics of the whole layer, such as
    α, do not include it.
    """
    import jax.numpy as jnp

    from supermask.counts import share
    from supermask.keys import Purpose, derive_key
    from supermask.masks import keep_best

    layer = np.arange(w_initial.size + grid_initial.size) < w_initial.size
    both = [np.concatenate(pair) for pair in ((w_initial, grid_initial), (w_final, grid_final))]
    scores = criterion(LayerFacts(jnp.asarray(both[0]), jnp.asarray(both[1]), jnp.asarray(layer)))
    kept = np.asarray(keep_best(derive_key(0, Purpose.TIES), scores, jnp.asarray(layer), share(KEPT, w_initial.size)))
    on_host = np.asarray(scores)
    return kept[layer], on_host[~layer] > on_host[layer & ~kept].max()


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw one panel per criterion: the region shaded, kept weights in colour, pruned ones in grey."""
    names = styles.ordered(table["criterion"], styles.CRITERIA)
    picture, panels = panels_of(
        len(names), frame, width=2.7, height=2.75, columns=min(4, len(names)), least=FRAMED_PANEL
    )
    for place, name in zip(panels, names, strict=True):
        own = table[table["criterion"] == name]
        _panel(place, own)
        formula = own["formula"].iloc[0] if "formula" in own else BUILT_IN[name].formula  # older tables have none
        place.set_title(f"{name}\n{formula}")
    for place in panels:
        place.set_ylabel("final weight")
        place.set_xlabel("initial weight")
        place.label_outer()
    note = (
        f"Layer {LAYER}, seed 0: the best {KEPT:.0%} are kept (blue), the others pruned (grey). Shaded: the "
        "criterion's region. Where it holds fewer weights than are kept, the rest is drawn at random."
    )
    finish(picture, frame, "Mask criteria as regions of the plane of weights", note)
    return picture


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    from matplotlib.colors import LogNorm, to_rgba

    x, y = (np.unique(table[column]) for column in ("w_initial", "w_final"))
    shape = (len(x), len(y))
    region, kept, weights = (table[column].to_numpy().reshape(shape).T for column in ("in_region", "kept", "weights"))
    shade = np.where(region[..., None] == 1, to_rgba(styles.SKY, 0.35), to_rgba("white", 0.0))
    extent = (x[0], x[-1], y[0], y[-1])
    axes.imshow(shade, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    norm = LogNorm(0.2, max(weights.max(), 2))
    for counts, map_ in ((weights - kept, "Greys"), (kept, "Blues")):
        seen = np.ma.masked_where(counts == 0, counts)
        axes.imshow(seen, origin="lower", extent=extent, aspect="auto", cmap=map_, norm=norm, interpolation="nearest")
    axes.axhline(0, color=styles.BLACK, linewidth=0.4)
    axes.axvline(0, color=styles.BLACK, linewidth=0.4)
    axes.tick_params(labelsize=7)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return each criterion's kept weights, in percent of the layer, and how many of them kept their sign."""
    rows = {}
    for name in styles.ordered(table["criterion"], styles.CRITERIA):
        own = table[table["criterion"] == name]
        total, weights = float(own["kept"].sum()), float(own["weights"].sum())
        rows[name] = {
            "kept, %": 100 * total / weights if weights else math.nan,  # where the training diverged
            "of those with their initial sign, %": 100 * own["kept_same_sign"].sum() / total if total else math.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("criterion")


FIGURE = Drawing(
    compares="criterion",
    names=CRITERIA,
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
)
