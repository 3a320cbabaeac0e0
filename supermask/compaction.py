"""Leaving dead units out of a training: what no path of live weights connects costs time and changes nothing.

A weight is live where its mask keeps it, or where it is frozen at something else than 0. A unit that no live weight
leaves has no influence on the logits, and a hidden unit that none enters puts out relu(bias): 0, where the bias is 0 or
less. Either way every gradient of its own weights and bias is exactly 0, and Adam moves none of them. So the network
without these units trains as the whole one does, but for rounding, in the time of its smaller size: half of it where
large_final has left 2% of FC's weights. What was left out is put back as it was.

Sizes go by eighths of a layer, so that few programs are compiled; and they depend on the network alone, never on what
it is trained beside, or its numbers would too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int32

from supermask.networks import Network
from supermask.params import AnyArray, Params, kernels_of
from supermask.short import short

PARTS = 8
WORTHWHILE = 2e8
"""Weights left out × steps from which it pays: a quarter of a second on two cores, a fair share of a compilation."""


@short
@dataclass(frozen=True, eq=False)
class Compaction:
    """Which units of a dense network are trained: ascending indices of its inputs and of each layer's outputs."""

    units: Mapping[str, tuple[Int32[np.ndarray, " inputs"], Int32[np.ndarray, " outputs"]]]

    @property
    def inputs(self) -> Int32[np.ndarray, " inputs"]:
        """Which values of a flattened image are read."""
        return next(iter(self.units.values()))[0]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many inputs, and how many units of each layer, are trained."""
        return (len(self.inputs), *(len(outputs) for _, outputs in self.units.values()))

    def network(self, network: Network) -> Network:
        """The smaller network."""
        return network.shrunk(self.sizes[1:-1])

    def params(self, params: Params) -> Params:
        """The smaller network's parameters, on the host."""
        return {
            layer: {
                "kernel": np.asarray(params[layer]["kernel"])[np.ix_(inputs, outputs)],
                "bias": np.asarray(params[layer]["bias"])[outputs],
            }
            for layer, (inputs, outputs) in self.units.items()
        }

    def masks(self, masks: Mapping[str, Bool[AnyArray, "..."]]) -> dict[str, Bool[np.ndarray, "..."]]:
        """The smaller network's masks, on the host."""
        return {layer: np.asarray(mask)[np.ix_(*self.units[layer])] for layer, mask in masks.items()}

    def restored(self, params: Params, before: Params) -> Params:
        """The whole network's parameters: `params` where they were trained, and elsewhere as they were `before`."""
        whole: Params = {}
        for layer, (inputs, outputs) in self.units.items():
            kernel, bias = (np.array(before[layer][name]) for name in ("kernel", "bias"))
            kernel[np.ix_(inputs, outputs)] = params[layer]["kernel"]
            bias[outputs] = params[layer]["bias"]
            whole[layer] = {"kernel": kernel, "bias": bias}
        return whole


def compaction(
    network: Network, params: Params, masks: Mapping[str, Bool[AnyArray, "..."]], steps: int
) -> Compaction | None:
    """What a training of that many steps with Adam may leave out, or None where it doesn't pay.

    A convolutional network is always trained whole: at the papers' levels of sparsity its channels stay connected. So
    is a network of the user's own, of which it isn't known what a unit without weights puts out.
    """
    every = sum(kernel.size for kernel in kernels_of(params).values())
    layers = network.dense_layers
    if not layers or every * steps < WORTHWHILE:
        return None
    sides = [_eighths(live) for live in live_units(layers, params, masks)]
    units = {layer: (sides[index], sides[index + 1]) for index, layer in enumerate(layers)}
    left_out = sum(
        params[layer]["kernel"].size - len(inputs) * len(outputs) for layer, (inputs, outputs) in units.items()
    )
    return Compaction(units) if left_out * steps >= WORTHWHILE else None


def live_units(
    layers: Sequence[str], params: Params, masks: Mapping[str, Bool[AnyArray, "..."]]
) -> list[Bool[np.ndarray, " units"]]:
    """Which inputs, and which outputs of each dense layer, lie on a path of live weights from an input to a logit.

    A hidden unit of positive bias counts as entered. The logits themselves are always live.
    """
    live = []
    for layer in layers:
        kernel = np.asarray(params[layer]["kernel"])
        live.append((kernel != 0) | np.asarray(masks.get(layer, np.ones(kernel.shape, bool))))
    entered = [np.ones(live[0].shape[0], bool)]
    for layer, weights in zip(layers, live, strict=True):
        entered.append(weights[entered[-1]].any(axis=0) | (np.asarray(params[layer]["bias"]) > 0))
    left = [np.ones(live[-1].shape[1], bool)]
    for weights in reversed(live):
        left.insert(0, weights[:, left[0]].any(axis=1))
    return [*(a & b for a, b in zip(entered[:-1], left[:-1], strict=True)), left[-1]]


def _eighths(live: Bool[np.ndarray, " units"]) -> Int32[np.ndarray, " chosen"]:
    """The live units, and as many of the others as fill up the layer's next eighth."""
    total = len(live)
    parts = max(-(-PARTS * int(live.sum()) // total), 1)
    size = -(-parts * total // PARTS)
    live_first = np.argsort(~live, kind="stable")
    return np.sort(live_first[:size]).astype(np.int32)
