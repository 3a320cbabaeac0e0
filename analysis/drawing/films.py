"""A self-contained page with a slider over the wirings of a neural graph during training."""

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template

import numpy as np
from jaxtyping import Float, Integer


@dataclass(frozen=True)
class Film:
    """The wiring of one graph at every evaluation.

    name: what the page calls it. nodes, inputs, features: see `supermask.neural_graphs.graph.NeuralGraph`.
    steps, accuracy: steps taken and fraction of validation images right, at every evaluation.
    counts: edges from groups of neighbouring nodes to such groups; the last group may have fewer nodes.

    Raises ValueError where they do not have the same number of evaluations, or there is none.
    """

    name: str
    nodes: int
    inputs: int
    features: int
    steps: Integer[np.ndarray, " evaluations"]
    accuracy: Float[np.ndarray, " evaluations"]
    counts: Integer[np.ndarray, "evaluations groups groups"]

    def __post_init__(self) -> None:
        if not len(self.steps) == len(self.accuracy) == len(self.counts) >= 1:
            lengths = f"{len(self.steps)}, {len(self.accuracy)} and {len(self.counts)}"
            raise ValueError(f"steps, accuracy and counts have {lengths} evaluations; allowed: as many, one or more")


def film_page(title: str, caption: str, films: Sequence[Film]) -> str:
    """Return the self-contained page."""
    data = json.dumps([_record(film) for film in films], separators=(",", ":"), allow_nan=False)
    page = files("supermask.analysis.drawing").joinpath("templates", "film.html").read_text(encoding="utf-8")
    return Template(page).substitute(
        title=html.escape(title),
        caption=html.escape(caption),
        data=data.replace("<", "\\u003c"),  # so that no name can end the script element
    )


def _record(film: Film) -> dict[str, object]:
    return {
        **{"name": film.name, "nodes": film.nodes, "inputs": film.inputs, "features": film.features},
        "groups": film.counts.shape[1],
        "steps": film.steps.tolist(),
        "accuracy": [round(float(each), 5) for each in film.accuracy],
        "counts": base64.b64encode(film.counts.astype("<u2").tobytes()).decode(),
    }
