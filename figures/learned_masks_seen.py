"""Learned masks as pictures: which input pixels keep their weights, and how similar masks are between seeds.

For comparison: the large_final mask of a trained network with the same number of weights.
"""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from supermask.analysis.drawing import styles
from supermask.analysis.drawing.claims import Claim
from supermask.analysis.drawing.figure import Drawing
from supermask.analysis.drawing.frame import Axes, Frame, Picture, finish, panels_of
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.studies.experiment import Study
from supermask.analysis.system.errors import UsageError
from supermask.figures.learned_supermasks import LEARNED
from supermask.keys import Purpose, derive_key
from supermask.masks import Masks, full_masks, keep_best_of_layers, weights_remaining
from supermask.networks import kernels_of
from supermask.overlaps import overlap_of

MOST_PIXELS = 4096
"""Rows or columns of an image that a picture shows at most: it takes memory for each pair of them."""

CLAIMS = (
    Claim(
        "masks learned on signed constants with DWR agree with the large_final mask of the same network and size more "
        "than by chance",
        "no statement of the paper",
        {"label": "learned, S.C., DWR", "kind": "large_final"},
        {"label": "learned, S.C., DWR", "kind": "large_final by chance"},
        metric="overlap",
    ),
)


def study(shown: Shown) -> Study:
    """Return the learned masks, and round 0, from which the large_final masks are made."""
    return Study((Unpruned(), *(LEARNED[name] for name in shown.names)))


def tabulate(results: Results) -> pd.DataFrame:
    """Return overlaps, one row per (label, kind, seed), and mean fractions kept, one row per (label, pixel).

    Masks are the rounded ones. Kinds 'next seed' and 'large_final': the overlap with that mask over the whole network;
    with 'by chance': the expected overlap of two independent masks with the same counts. Kind 'pixel', if the first
    layer reads the whole image: the kept fraction of the weights that leave a pixel.
    """
    return results.labelled(pd.DataFrame([row for label in results.shown.names for row in _rows(results, label)]))


def _rows(results: Results, label: str) -> Iterator[dict[str, Any]]:
    seeds = results.experiment.seeds
    masks = {seed: results.learned_mask(LEARNED[label], seed) for seed in seeds}
    for seed, own in masks.items():
        others = {"large_final": _large_final(results, seed, own)}
        if len(seeds) > 1:
            others["next seed"] = masks[seeds[(seeds.index(seed) + 1) % len(seeds)]]
        common = {"label": label, "seed": seed, "round": 0, "weights_remaining": weights_remaining(own)}
        for kind, other in others.items():
            overlap, chance = overlap_of(own, other)
            yield {**common, "kind": kind, "overlap": overlap}
            yield {**common, "kind": f"{kind} by chance", "overlap": chance}
    if (first := results.experiment.network.pixel_layer) is not None:
        height, width, channels = results.experiment.data.image_shape
        shares = np.mean([np.asarray(own[first]).mean(axis=1) for own in masks.values()], axis=0)
        for place, share in enumerate(shares.reshape(height * width, channels).mean(axis=1)):
            yield {"label": label, "kind": "pixel", "row": place // width, "column": place % width, "kept": share}


def _large_final(results: Results, seed: int, like: Masks) -> Masks:
    """Return the one-shot large_final mask of the seed's trained network, with the counts of `like`."""
    final = kernels_of(results.unpruned_weights(seed)[1])
    magnitudes = {layer: jnp.abs(kernel) for layer, kernel in final.items()}
    counts = {layer: int(np.sum(mask)) for layer, mask in like.items()}
    return keep_best_of_layers(derive_key(seed, Purpose.TIES), magnitudes, full_masks(final), counts)


def draw(table: pd.DataFrame, frame: Frame) -> Picture:
    """Draw one pixel map per learned mask, if there are maps; on the right, overlaps and those expected by chance."""
    pixels = table[table["kind"] == "pixel"]
    labels = list(dict.fromkeys(pixels["label"]))
    if labels and max(pixels["row"].max(), pixels["column"].max()) >= MOST_PIXELS:
        raise UsageError(f"a pixel's row and column are allowed from 0 to {MOST_PIXELS - 1}")
    picture, panels = panels_of(len(labels) + 1, frame, width=2.5, height=3.0, least=1.5)
    most = 10 * np.ceil(10 * pixels["kept"].max()) if labels else 100
    for axes, label in zip(panels, labels, strict=False):
        own = pixels[pixels["label"] == label].pivot_table(index="row", columns="column", values="kept")
        image = axes.imshow(100 * own.to_numpy(float), cmap="cividis", vmin=0, vmax=most)
        axes.set_title(label)
        axes.set_xticks([])
        axes.set_yticks([])
    if labels:
        where = "bottom" if frame.narrow else "right"
        picture.colorbar(image, ax=panels[:-1], shrink=0.7, location=where, label="weights kept of an input pixel's, %")
    _overlaps(panels[-1], table[table["kind"] != "pixel"], 90 if frame.width is not None else 0)
    title = "Learned masks: where they look, and how alike they are"
    finish(picture, frame, title, "Markers: means over seeds.", panels[-1])
    return picture


def _overlaps(axes: Axes, table: pd.DataFrame, turn: int) -> None:

    looks = {
        "large_final": (styles.BLUE, "o", "with large_final's mask"),
        "next seed": (styles.ORANGE, "s", "with the next seed's"),
    }
    labels = list(dict.fromkeys(table["label"]))
    for offset, (kind, (colour, marker, words)) in zip((-0.15, 0.15), looks.items(), strict=True):
        for name, fill, suffix in ((kind, colour, ""), (f"{kind} by chance", "white", ", by chance")):
            means = 100 * table[table["kind"] == name].groupby("label")["overlap"].mean()
            shown = [(place + offset, means[label]) for place, label in enumerate(labels) if label in means]
            if shown:
                x, y = zip(*shown, strict=True)
                axes.plot(x, y, marker, color=colour, markerfacecolor=fill, markersize=7, label=words + suffix)
    axes.set_xticks(range(len(labels)), [label.replace(", ", "\n") for label in labels], rotation=turn)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(0, 100)
    axes.set_ylabel("overlap of two masks, %")
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean overlaps and the fractions of weights kept, in percent."""
    pairs = table[table["kind"] != "pixel"]
    overlaps = 100 * pairs.pivot_table(index="label", columns="kind", values="overlap", sort=False)
    overlaps["% left"] = 100 * pairs.groupby("label")["weights_remaining"].mean()
    return overlaps.rename_axis("mask", axis="index").rename_axis(None, axis="columns")


FIGURE = Drawing(
    compares="else",
    names=tuple(LEARNED),
    study=study,
    tabulate=tabulate,
    draw=draw,
    summarise=summarise,
    claims=CLAIMS,
)
