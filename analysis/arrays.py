"""A training's arrays as a flat dict for one safetensors file, and back.

Round 0 is stored whole: initial and final parameters. A later round is stored by what cannot be told from round 0: the
mask as bits, the kept weights' final values, which pruned weights are frozen at their initial value rather than at 0,
and which kept weights started at 0, where an action asks for that.
At 1% of weights that is a fiftieth of the network's size.
"""

from collections.abc import Mapping

import numpy as np

from supermask import masks as mask_functions
from supermask.learned_masks import LearnedOutcome
from supermask.lottery import End, RoundRecord, zeroed_of
from supermask.masks import Masks
from supermask.networks import Kernels, Params, kernels_of

Arrays = dict[str, np.ndarray]


def encode(record: RoundRecord, initial: Params) -> Arrays:
    """The arrays of a round's record; `initial` are the seed's initial parameters."""
    final = record.trained.params
    arrays = {f"curve.{name}": np.asarray(getattr(record.trained, name)) for name in CURVES}
    if record.treatment is None:
        for layer, leaves in initial.items():
            arrays |= {f"initial.{layer}.{name}": np.asarray(leaf) for name, leaf in leaves.items()}
            arrays |= {f"final.{layer}.{name}": np.asarray(final[layer][name]) for name in leaves}
        return arrays
    for layer, kernel in kernels_of(final).items():
        mask = np.asarray(record.start.masks[layer])
        arrays[f"mask.{layer}"] = mask_functions.pack(mask)
        arrays[f"kept.{layer}"] = np.asarray(kernel)[mask]
        arrays[f"bias.{layer}"] = np.asarray(final[layer]["bias"])
        arrays |= _encode_frozen(layer, np.asarray(kernel)[~mask], np.asarray(initial[layer]["kernel"])[~mask])
    zeroed = zeroed_of(record.start, initial) if record.treatment.asks_for_zeros else {}
    for layer, places in zeroed.items():
        arrays[f"zeroed.{layer}"] = np.packbits(np.asarray(places)[np.asarray(record.start.masks[layer])])
    return arrays


CURVES = ("evaluated_at", "validation_loss", "validation_accuracy")


def encode_learned(outcome: LearnedOutcome) -> Arrays:
    """The arrays of a learned mask: its logits (or scores), and the curves of its training."""
    arrays = {f"logits.{layer}": np.asarray(values) for layer, values in outcome.logits.items()}
    arrays["curve.evaluated_at"] = np.asarray(outcome.evaluated_at)
    return arrays | {f"curve.{name}": np.asarray(curve) for name, curve in outcome.curves._asdict().items()}


def decode_logits(arrays: Mapping[str, np.ndarray]) -> Kernels:
    """The logits (or scores) of a learned mask."""
    return {name.removeprefix("logits."): array for name, array in arrays.items() if name.startswith("logits.")}


def decode_round_zero(arrays: Mapping[str, np.ndarray]) -> tuple[Params, Params]:
    """Initial and final parameters of round 0."""

    def tree(part: str) -> Params:
        params: Params = {}
        for name, array in arrays.items():
            if name.startswith(part + "."):
                _, layer, leaf = name.split(".")
                params.setdefault(layer, {})[leaf] = array
        return {layer: params[layer] for layer in sorted(params)}

    return tree("initial"), tree("final")


def decode_round(arrays: Mapping[str, np.ndarray], initial: Kernels) -> End:
    """How a later round ended; `initial` are the seed's initial kernels."""
    masks: Masks = {}
    kernels: Kernels = {}
    zeroed: Masks = {}
    for layer, start in initial.items():
        mask: np.ndarray = mask_functions.unpack(arrays[f"mask.{layer}"], start.shape)
        kernel = np.zeros(start.shape, np.float32)
        kernel[mask] = arrays[f"kept.{layer}"]
        kernel[~mask] = _decode_frozen(layer, arrays, np.asarray(start)[~mask])
        masks[layer], kernels[layer] = mask, kernel
        if f"zeroed.{layer}" in arrays:
            zeroed[layer] = np.zeros(start.shape, bool)
            zeroed[layer][mask] = np.unpackbits(arrays[f"zeroed.{layer}"], count=int(mask.sum())).astype(bool)
    return End(masks, kernels, zeroed)


def _encode_frozen(layer: str, frozen: np.ndarray, initial: np.ndarray) -> Arrays:
    bits = frozen.view(np.uint32)
    at_zero, at_initial = bits == 0, bits == initial.view(np.uint32)
    if at_zero.all():
        return {}
    if (at_zero | at_initial).all():
        return {f"frozen_at_initial.{layer}": np.packbits(~at_zero)}
    return {f"frozen.{layer}": frozen}


def _decode_frozen(layer: str, arrays: Mapping[str, np.ndarray], initial: np.ndarray) -> np.ndarray:
    if f"frozen.{layer}" in arrays:
        return arrays[f"frozen.{layer}"]
    if f"frozen_at_initial.{layer}" in arrays:
        at_initial = np.unpackbits(arrays[f"frozen_at_initial.{layer}"], count=initial.size).astype(bool)
        return np.where(at_initial, initial, np.float32(0))
    return np.zeros_like(initial)
