"""A network as a mask and a seed, in one small file from which it can be rebuilt.

An untrained network's weights follow from its seed, so only its mask was learned (Zhou et al. 2019, and the closing
remark of the authors' blog). A file is

    magic (8 bytes)  version (2)  length of header (4)  header  masks  SHA-256 of all before (32)

with little-endian numbers and a JSON header. The masks are one block per layer, ordered by the layers' names. A block
is coded as 'bits' (eight weights per byte, row-major) or 'rows' (range coded: the number of weights that each row
keeps, then each row's weights as Bernoulli variables of that frequency), whichever is smaller. A row holds the weights
that leave one input unit.

Reading checks length and digest first, runs no code, and allocates only what the named network needs. The package must
know the network and the data set.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import constriction
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from supermask import masks as mask_functions
from supermask.datasets import DATASETS
from supermask.envelope import Envelope
from supermask.lottery import initial_of
from supermask.masks import Masks
from supermask.networks import NETWORKS, shapes_of
from supermask.params import Params, kernels_of
from supermask.short import short
from supermask.untrained_networks import WEIGHTS, masked_kernels, untrained_kernels

_CODINGS = ("bits", "rows")


class PackedError(ValueError):
    """A file that is no packed network, is damaged or cannot be rebuilt; the message says which and what to do."""


ENVELOPE = Envelope(b"SUPERMSK", 1, 4096, "a packed network", PackedError)


@short
@dataclass(frozen=True)
class MaskedNetwork:
    """An untrained network under a mask, completely specified.

    network, dataset: names in `NETWORKS` and `DATASETS`; the data set gives the images' shape.
    seed: seed of the initial weights.
    weights: values of the kept weights, a name in `WEIGHTS`.
    rescaled: whether each layer is multiplied by (weights in it / ones in its mask).
    masks: a boolean array of each kernel's shape.
    """

    network: str
    dataset: str
    seed: int
    weights: str
    rescaled: bool
    masks: Masks


@dataclass(frozen=True)
class PackedSizes:
    """Bytes of the packed file, of the masks' entropy by the coding's model, at one bit per weight, and as float32."""

    packed: int
    information: float
    bits: int
    float32: int


def rebuild(network: MaskedNetwork) -> Params:
    """Return the network's parameters: kernels drawn from the seed, under the mask; zero biases."""
    initial = initial_of(NETWORKS[network.network], network.seed, DATASETS[network.dataset].image_shape)
    kernels = masked_kernels(untrained_kernels(kernels_of(initial), network.weights), network.masks, network.rescaled)
    return {
        layer: {"kernel": kernel, "bias": jnp.zeros(kernel.shape[-1], jnp.float32)} for layer, kernel in kernels.items()
    }


def pack(network: MaskedNetwork) -> bytes:
    """Return the file's content. Its header has the JAX version, and a digest of the weights for `unpack`."""
    blocks = {layer: _encode(np.asarray(network.masks[layer])) for layer in sorted(network.masks)}
    header = {
        "network": network.network,
        "dataset": network.dataset,
        "seed": network.seed,
        "weights": network.weights,
        "rescaled": network.rescaled,
        "layers": [[coding, len(block)] for coding, block in blocks.values()],
        "jax": jax.__version__,
        "kernels_sha256": digest_of(kernels_of(rebuild(network))),
    }
    return ENVELOPE.seal(header, b"".join(block for _, block in blocks.values()))


def unpack(content: bytes) -> tuple[MaskedNetwork, Params]:
    """Return the network of a file and its parameters, bit for bit as they were packed.

    Raises PackedError for a file that is truncated, altered, foreign or of another version, and if the weights drawn
    here differ from those that were packed, as under another version of JAX or on another kind of processor.
    """
    header, blocks = ENVELOPE.open(content)
    _check_header(header)
    try:
        params = shapes_of(NETWORKS[header["network"]], DATASETS[header["dataset"]].image_shape)
        shapes = {layer: kernel.shape for layer, kernel in kernels_of(params).items()}
    except ValueError as error:
        raise PackedError(f"the file's network {header['network']} does not fit {header['dataset']}: {error}") from None
    layers = sorted(shapes)
    entries = header["layers"]
    if len(entries) != len(layers) or sum(length for _, length in entries) != len(blocks):
        raise PackedError("the file is inconsistent: its layers are not those of its network")
    masks: Masks = {}
    start = 0
    for layer, (coding, length) in zip(layers, entries, strict=True):
        masks[layer] = _decode(coding, blocks[start : start + length], shapes[layer])
        start += length
    network = MaskedNetwork(
        header["network"], header["dataset"], header["seed"], header["weights"], header["rescaled"], masks
    )
    params = rebuild(network)
    if digest_of(kernels_of(params)) != header["kernels_sha256"]:
        raise PackedError(
            f"the weights drawn from seed {network.seed} by JAX {jax.__version__} are not those that were packed, "
            f"by JAX {header['jax']}: take that version, on the kind of processor that packed the file"
        )
    return network, params


def sizes_of(network: MaskedNetwork, content: bytes) -> PackedSizes:
    """Return the sizes of a packed file, of its masks' entropy and of the kernels."""
    weights = sum(mask.size for mask in network.masks.values())
    information = sum(_information(np.asarray(mask)) for mask in network.masks.values())
    return PackedSizes(len(content), information, -(-weights // 8), 4 * weights)


def digest_of(kernels: Mapping[str, Float[Any, "..."]]) -> str:
    """Return the SHA-256 (hex) of kernels as little-endian float32, ordered by the layers' names."""
    digest = hashlib.sha256()
    for layer in sorted(kernels):
        digest.update(np.ascontiguousarray(np.asarray(kernels[layer]), "<f4").tobytes())
    return digest.hexdigest()


def _rows(mask: Bool[np.ndarray, "*shape"]) -> Bool[np.ndarray, "rows columns"]:
    """Reshape to one row per input unit (of a convolution: an input channel at one position of the filter)."""
    return mask.reshape(-1, mask.shape[-1])


def _information(mask: Bool[np.ndarray, "*shape"]) -> float:
    """Return bytes: the entropy of every row's weights at the row's own frequency, and of the rows' counts."""
    rows = _rows(mask)
    p = rows.mean(axis=1)
    inside = p[(p > 0) & (p < 1)]
    entropy = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).sum() * rows.shape[1]
    return float(entropy + len(rows) * math.log2(rows.shape[1] + 1)) / 8


def _encode(mask: Bool[np.ndarray, "*shape"]) -> tuple[str, bytes]:
    """Return the smaller of the two codings, and the block."""
    bits = mask_functions.pack(mask).tobytes()
    rows = _rows(mask)
    counts = rows.sum(axis=1).astype(np.int32)
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(counts, constriction.stream.model.Uniform(rows.shape[1] + 1))
    encoder.encode(rows.ravel().astype(np.int32), _model(), _frequencies(counts, rows.shape))
    coded = encoder.get_compressed().astype("<u4").tobytes()
    return ("rows", coded) if len(coded) < len(bits) else ("bits", bits)


def _decode(coding: str, block: bytes, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
    if coding == "bits":
        try:
            return mask_functions.unpack(np.frombuffer(block, np.uint8), shape)
        except ValueError as error:
            raise PackedError(f"the file is inconsistent: {error}") from None
    if len(block) % 4:
        raise PackedError("the file is inconsistent: a range coded block is not made of whole words")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(block, "<u4").astype(np.uint32))
    try:
        counts = decoder.decode(constriction.stream.model.Uniform(columns + 1), rows)
        weights = decoder.decode(_model(), _frequencies(counts, (rows, columns)))
    except AssertionError as error:  # constriction's error for words that no encoder writes
        raise PackedError(f"the file is inconsistent: {error}") from None
    mask: np.ndarray = weights.astype(bool).reshape(shape)
    if (_rows(mask).sum(axis=1) != counts).any():
        raise PackedError("the file is inconsistent: its rows do not keep as many weights as they say")
    return mask


def _model() -> Any:
    return constriction.stream.model.Bernoulli(perfect=False)


def _frequencies(counts: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "weights"]:
    """Return each weight's probability of being kept, from its row's count."""
    return np.repeat(counts.astype(np.float64) / shape[1], shape[1])


def _check_header(header: Any) -> None:
    """Raise PackedError unless every field is present, has its type, and names something known."""
    allowed = {"network": NETWORKS, "dataset": DATASETS, "weights": WEIGHTS}
    if not isinstance(header, dict):
        raise PackedError("the file's header is not an object")
    for name, choices in allowed.items():
        if not isinstance(header.get(name), str) or header[name] not in choices:
            raise PackedError(f"the file's {name} is {header.get(name)!r}; known here: {', '.join(choices)}")
    seed, layers = header.get("seed"), header.get("layers")
    if type(seed) is not int or not 0 <= seed < 2**31:
        raise PackedError(f"the file's seed is {seed!r}; allowed: 0 to 2³¹ - 1")
    if not isinstance(header.get("rescaled"), bool):
        raise PackedError(f"the file's rescaled is {header.get('rescaled')!r}; allowed: true or false")
    for name in ("jax", "kernels_sha256"):
        if not isinstance(header.get(name), str):
            raise PackedError(f"the file's {name} is {header.get(name)!r}; allowed: text")
    if not isinstance(layers, list) or not all(_is_entry(entry) for entry in layers):
        raise PackedError(f"the file's layers are not pairs of a coding ({', '.join(_CODINGS)}) and a length")


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, list) and len(entry) == 2 and entry[0] in _CODINGS and type(entry[1]) is int and entry[1] >= 0
    )
