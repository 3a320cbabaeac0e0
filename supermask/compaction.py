"""Leaves dead units out of a training. A unit on no path of live weights costs time and changes nothing.

A weight is live if its mask keeps it, or if it is frozen at a value other than 0. A unit without outgoing live weights
cannot affect the logits. A hidden unit without incoming ones outputs relu(bias), which is 0 if the bias is 0 or less.
In both cases the gradients of the unit's weights and bias are exactly 0, and Adam moves none of them. The network
without these units therefore trains like the whole one, but for rounding, and as fast as its smaller size allows: in
half of the time once large_final has left 2% of FC's weights. Afterwards the omitted units are put back unchanged.

Layers shrink in steps of an eighth, so that few programs are compiled. The size depends on the network alone, never on
the networks trained beside it: otherwise its results would depend on them too.
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
"""Omitted weights × steps from which it pays: a quarter of a second on two cores, comparable to a compilation."""


@short
@dataclass(frozen=True, eq=False)
class Compaction:
    """Which units of a dense network are trained: ascending indices of its inputs and of each layer's outputs."""

    units: Mapping[str, tuple[Int32[np.ndarray, " inputs"], Int32[np.ndarray, " outputs"]]]

    @property
    def inputs(self) -> Int32[np.ndarray, " inputs"]:
        """Indices of the values of a flattened image that are read."""
        return next(iter(self.units.values()))[0]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, and of units of each layer, that are trained."""
        return (len(self.inputs), *(len(outputs) for _, outputs in self.units.values()))

    def network(self, network: Network) -> Network:
        """Return the smaller network."""
        return network.shrunk(self.sizes[1:-1])

    def params(self, params: Params) -> Params:
        """Return the smaller network's parameters, on the host."""
        return {
            layer: {
                "kernel": np.asarray(params[layer]["kernel"])[np.ix_(inputs, outputs)],
                "bias": np.asarray(params[layer]["bias"])[outputs],
            }
            for layer, (inputs, outputs) in self.units.items()
        }

    def masks(self, masks: Mapping[str, Bool[AnyArray, "..."]]) -> dict[str, Bool[np.ndarray, "..."]]:
        """Return the smaller network's masks, on the host."""
        return {layer: np.asarray(mask)[np.ix_(*self.units[layer])] for layer, mask in masks.items()}

    def restored(self, params: Params, before: Params) -> Params:
        """Return the whole network's parameters: `params` where trained, and `before` elsewhere."""
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
    """Return what a training of `steps` steps with Adam may leave out, or None if that does not pay.

    A convolutional network is always trained whole, because its channels stay connected at the papers' sparsities. So
    is a user-defined network, because the output of its units without weights is unknown.
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
    """Return which inputs, and which outputs of each dense layer, lie on a path of live weights to a logit.

    Such a path starts at an input or at a hidden unit with a positive bias. The logits themselves are always live.
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
    """Return the live units, padded with dead ones to the next eighth of the layer."""
    total = len(live)
    parts = max(-(-PARTS * int(live.sum()) // total), 1)
    size = -(-parts * total // PARTS)
    live_first = np.argsort(~live, kind="stable")
    return np.sort(live_first[:size]).astype(np.int32)
