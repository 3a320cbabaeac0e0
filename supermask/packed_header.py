"""The header of a packed network: what it says, and that it says it rightly.

Version 2 has all that the weights follow from. Version 1 names a network and a data set, and leaves to them what shapes
its layers have, and to JAX what its seed stands for.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from supermask.checks import SEEDS, is_text
from supermask.draws import FOLDS, WEIGHTS
from supermask.mask_coding import CODINGS
from supermask.short import short

GENERATOR = "threefry-2x32"
PATH = "sha1(layer, 1)"
"""How a layer's key follows from the seed's: fold in the first four bytes of the SHA-1 of its name and the byte 1."""

DISTRIBUTION = "truncated normal"
BETWEEN = [-2, 2]

MOST_WEIGHTS = 1 << 25
"""Weights that a file may have: 128 MiB as float32."""


class PackedError(ValueError):
    """A file that is no packed network, is damaged or cannot be rebuilt; the message says which and what to do."""


@short
@dataclass(frozen=True)
class MaskedNetwork:
    """An untrained network under a mask, completely specified.

    network, dataset: name in `networks.NETWORKS`, and that of the data set that the mask was learned on.
    seed: seed of the initial weights.
    weights: values of the kept weights, a name in `draws.WEIGHTS`.
    rescaled: whether each layer is multiplied by (weights in it / ones in its mask).
    masks: a boolean array of each kernel's shape.
    constants: absolute values of signed constants, by layer; if empty, the standard deviations of the initial weights.
    image_shape: height, width and channels of images of a data set that is none of `datasets.DATASETS`.
    """

    network: str
    dataset: str
    seed: int
    weights: str
    rescaled: bool
    masks: dict[str, Any]
    constants: Mapping[str, float] = field(default_factory=dict)
    image_shape: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Layer:
    """One layer: its name, its kernel's shape, and the coding and length of its mask's block.

    deviation: factor of the truncated normal. constant: absolute value of the weights, if they are signed constants.
    Version 1 leaves name, shape and deviation to the named network.
    """

    name: str
    shape: tuple[int, ...]
    coding: str
    length: int
    deviation: float = 0.0
    constant: float | None = None


@dataclass(frozen=True)
class Header:
    """A packed network's header, checked."""

    network: str
    dataset: str
    seed: int
    weights: str
    rescaled: bool
    layers: tuple[Layer, ...]
    jax: str
    kernels_sha256: str
    partitionable: bool = True
    folds: tuple[int, ...] = FOLDS
    image_shape: tuple[int, int, int] | None = None


def written(header: Header) -> dict[str, Any]:
    """Return a header as the JSON object of version 2."""
    constants = {layer.name: layer.constant for layer in header.layers if layer.constant is not None}
    folds = list(header.folds)
    deviations = [layer.deviation for layer in header.layers]
    return {
        "network": header.network,
        "dataset": header.dataset,
        "seed": header.seed,
        "weights": header.weights,
        "rescaled": header.rescaled,
        "generator": {"name": GENERATOR, "partitionable": header.partitionable, "folds": folds, "path": PATH},
        "distribution": {"name": DISTRIBUTION, "between": BETWEEN, "deviations": deviations},
        "layers": [[layer.name, list(layer.shape), layer.coding, layer.length] for layer in header.layers],
        "jax": header.jax,
        "kernels_sha256": header.kernels_sha256,
        **({"constants": constants} if constants else {}),
        **({} if header.image_shape is None else {"image_shape": list(header.image_shape)}),
    }


def parsed(header: Any, version: int) -> Header:
    """Return the header of a file, every field checked. Raises PackedError for one that is missing or wrong."""
    if not isinstance(header, dict):
        raise PackedError("the file's header is not an object")
    for name in ("network", "dataset", "jax", "kernels_sha256"):
        if not is_text(header.get(name)):
            raise PackedError(f"the file's {name} is {header.get(name)!r}; allowed: printable text")
    if not isinstance(header.get("weights"), str) or header["weights"] not in WEIGHTS:
        raise PackedError(f"the file's weights is {header.get('weights')!r}; known here: {', '.join(WEIGHTS)}")
    seed = header.get("seed")
    if type(seed) is not int or not 0 <= seed < SEEDS:
        raise PackedError(f"the file's seed is {seed!r}; allowed: 0 to 2³¹ - 1")
    if not isinstance(header.get("rescaled"), bool):
        raise PackedError(f"the file's rescaled is {header.get('rescaled')!r}; allowed: true or false")
    common = (header["network"], header["dataset"], seed, header["weights"], header["rescaled"])
    if version == 1:
        layers = tuple(Layer("", (), *entry) for entry in _entries(header, _is_block))
        return Header(*common, layers, header["jax"], header["kernels_sha256"])
    layers = _layers(header)
    generator = _generator(header.get("generator"))
    return Header(*common, layers, header["jax"], header["kernels_sha256"], *generator, _image_shape(header))


def _entries(header: Mapping[str, Any], is_entry: Callable[[Any], bool]) -> list[Any]:
    entries = header.get("layers")
    if not isinstance(entries, list) or not all(is_entry(entry) for entry in entries):
        allowed = f"a coding ({', '.join(CODINGS)}) and a length for each"
        raise PackedError(f"the file's layers are {str(entries)[:60]}; allowed: {allowed}")
    return entries


def _is_block(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2 and entry[0] in CODINGS and _is_number(entry[1])


def _is_layer(entry: Any) -> bool:
    """Return whether it is a printable name, a shape of two to eight non-empty axes, a coding and a length."""
    if not (isinstance(entry, list) and len(entry) == 4 and is_text(entry[0]) and _is_block(entry[2:])):
        return False
    shape = entry[1]
    return isinstance(shape, list) and 2 <= len(shape) <= 8 and all(_is_number(axis) and axis > 0 for axis in shape)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _generator(generator: Any) -> tuple[bool, tuple[int, ...]]:
    known = {"name": GENERATOR, "path": PATH}
    if not isinstance(generator, dict) or {name: generator.get(name) for name in known} != known:
        raise PackedError(f"the file's generator is {generator!r}; known here: {known}")
    if not isinstance(generator.get("partitionable"), bool):
        raise PackedError(f"the file's generator is {generator!r}; allowed as partitionable: true or false")
    folds = generator.get("folds")
    if not isinstance(folds, list) or len(folds) > 8 or not all(_is_number(fold) and fold < 1 << 32 for fold in folds):
        raise PackedError(f"the file's generator is {generator!r}; allowed as folds: up to eight numbers below 2³²")
    return generator["partitionable"], tuple(folds)


def _image_shape(header: Mapping[str, Any]) -> tuple[int, int, int] | None:
    if "image_shape" not in header:
        return None
    shape = header["image_shape"]
    if not (isinstance(shape, list) and len(shape) == 3 and all(_is_number(size) and size > 0 for size in shape)):
        raise PackedError(f"the file's image_shape is {str(shape)[:60]}; allowed: height, width and channels")
    if math.prod(shape) > MOST_WEIGHTS:
        raise PackedError(f"the file's image_shape is {shape}; allowed: up to {MOST_WEIGHTS:,} values")
    height, width, channels = shape
    return height, width, channels


def _layers(header: Mapping[str, Any]) -> tuple[Layer, ...]:
    entries = _entries(header, _is_layer)
    names = [entry[0] for entry in entries]
    if not names or names != sorted(set(names)):
        raise PackedError("the file is inconsistent: its layers are not ordered by their names")
    if (weights := sum(math.prod(entry[1]) for entry in entries)) > MOST_WEIGHTS:
        raise PackedError(f"the file's layers have {weights:,} weights; allowed: {MOST_WEIGHTS:,}")
    distribution = header.get("distribution")
    known = {"name": DISTRIBUTION, "between": BETWEEN}
    if not isinstance(distribution, dict) or {name: distribution.get(name) for name in known} != known:
        raise PackedError(f"the file's distribution is {distribution!r}; known here: {known}")
    deviations = distribution.get("deviations")
    if not isinstance(deviations, list) or len(deviations) != len(names) or not all(map(_is_scale, deviations)):
        raise PackedError(f"the file's deviations are {deviations!r}; allowed: a positive number for each layer")
    constants = header.get("constants")
    if header["weights"] != "signed_constant":
        constants = dict.fromkeys(names)
    elif not (isinstance(constants, dict) and set(constants) == set(names) and all(map(_is_scale, constants.values()))):
        raise PackedError(f"the file's constants are {constants!r}; allowed: a positive number for each layer")
    return tuple(
        Layer(name, tuple(shape), coding, length, deviation, constants[name])
        for (name, shape, coding, length), deviation in zip(entries, deviations, strict=True)
    )


def _is_scale(value: Any) -> bool:
    return type(value) in (int, float) and 1e-30 < value < 1e30
