"""Description of one neural-graph training: its setting, its wiring, and the preparation of its images."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, Num

from supermask.augmentation import Augmentation
from supermask.masks import Masks
from supermask.neural_graphs.graph import EDGES, SETTINGS, NeuralGraph
from supermask.neural_graphs.wirings import RANDOM_WIRINGS, random_wiring
from supermask.normalisation import Pixels as Pixels
from supermask.normalisation import channel_moments
from supermask.params import Params
from supermask.sparse_training.trainer import SparseJob

DISCOVERED = "discovered"
WIRINGS = (DISCOVERED, *RANDOM_WIRINGS)


@dataclass(frozen=True)
class GraphRun:
    """One training of a neural graph, independent of seed, size and protocol.

    setting: when nodes act, one of `SETTINGS`. wiring: one of `WIRINGS`.
    """

    setting: str
    wiring: str = DISCOVERED

    def __post_init__(self) -> None:
        for name, choices in (("setting", SETTINGS), ("wiring", WIRINGS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(map(repr, choices))}")


def candidates(graph: NeuralGraph, wiring: str, seed: int) -> Bool[np.ndarray, " edges"]:
    """Return the candidate edges: all for a discovered wiring, only its own for a random one."""
    return np.ones(graph.possible_edges, bool) if wiring == DISCOVERED else random_wiring(graph, wiring, seed)


def graph_job(graph: NeuralGraph, wiring: str, seed: int, params: Params) -> SparseJob:
    """Return one seed's training from its initial parameters, which all wirings of a setting share."""
    return SparseJob(params, {EDGES: graph.edges}, seed, {EDGES: candidates(graph, wiring, seed)})


def pixel_statistics(images: Num[np.ndarray, "n height width channels"], maximum: int) -> tuple[Pixels, Pixels]:
    """Return the mean and the standard deviation of each channel's pixels, scaled to [0, 1], to three digits.

    Of CIFAR-10 they are the numbers of the released code, rounded likewise. A channel that is the same everywhere has
    the deviation 1.
    """
    found = channel_moments(images, maximum)
    return tuple(round(mean, 3) for mean, _ in found), tuple(round(deviation, 3) or 1.0 for _, deviation in found)


def augmentation_of(image_shape: tuple[int, int, int]) -> Augmentation:
    """Return the released code's augmentation of 32×32 photographs, and its like for other images.

    A shift by up to an eighth of the image's height. Images of one channel are digits, which are not mirrored.
    """
    return Augmentation(pad=image_shape[0] // 8, flip=image_shape[2] == 3)


def edges_between(graph: NeuralGraph, group: int) -> Callable[[Masks], Int32[Array, "sources targets"]]:
    """Return a function that counts the live edges that carry something between groups of `group` nodes each."""
    groups = -(-graph.nodes // group)
    carrying = jnp.asarray(graph.carrying())
    room = groups * group - graph.nodes

    def count(masks: Masks) -> Int32[Array, "sources targets"]:
        table = (masks[EDGES] & carrying).reshape(graph.nodes, graph.nodes)
        padded = jnp.pad(table, ((0, room), (0, room))).reshape(groups, group, groups, group)
        return padded.sum((1, 3), dtype=jnp.int32)

    return count
