"""A network as a mask and a seed, in one small file from which it can be rebuilt, with or without JAX.

An untrained network's weights follow from its seed, so only its mask was learned (Zhou et al. 2019, and the closing
remark of the authors' blog). A file is

    magic (8 bytes)  version (2)  length of header (4)  header  masks  SHA-256 of all before (32)

with little-endian numbers and a JSON header: see docs/supermasks.md. The header has all that the weights follow from:
generator, keys, distribution, shapes and signed constants. Reading draws them by `draws`, in NumPy; nothing here
imports JAX, except to pack, and for files of version 1, which leave it to JAX what a seed stands for.

Reading checks length and digest first, runs no code, and allocates no more than `packed_header.MOST_WEIGHTS` need.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32

from supermask.draws import fan_in, glorot_deviation, glorot_kernel, glorot_to_kaiming, layer_key
from supermask.envelope import FIXED, Envelope
from supermask.mask_coding import CodingError, decode, encode, information
from supermask.packed_header import MOST_WEIGHTS, Header, Layer, parsed, written
from supermask.packed_header import MaskedNetwork as MaskedNetwork
from supermask.packed_header import PackedError as PackedError

HostKernels = dict[str, Float32[np.ndarray, "..."]]
HostParams = dict[str, dict[str, Any]]
"""A network's parameters as arrays of NumPy, {layer: {"kernel", "bias"}}."""

ENVELOPE = Envelope(b"SUPERMSK", 2, 4096, "a packed network", PackedError, older=(1,))

ROUNDING = 1e-5
"""Relative difference of weights between processors, or settings of XLA, that round in other places."""


@dataclass(frozen=True)
class Sizes:
    """Bytes of the packed file, of the masks' entropy by the coding's model, at one bit per weight, and as float32."""

    packed: int
    information: float
    bits: int
    float32: int


def rebuild(network: MaskedNetwork) -> HostParams:
    """Return the network's parameters: kernels drawn from the seed, under the mask; zero biases."""
    shapes = {layer: tuple(mask.shape) for layer, mask in network.masks.items()}
    drawn = {n: glorot_kernel(layer_key(network.seed, n), s, glorot_deviation(s)) for n, s in shapes.items()}
    return _params(network, drawn)


def pack(network: MaskedNetwork) -> bytes:
    """Return the file's content.

    Raises PackedError if JAX draws other weights from the seed than the file would stand for, rounding aside: a mask
    that was found on the former is no mask of the latter. And for a network that `unpack` would refuse.
    """
    if (weights := sum(mask.size for mask in network.masks.values())) > MOST_WEIGHTS:
        raise PackedError(f"the network has {weights:,} weights; allowed: {MOST_WEIGHTS:,}")
    import jax

    from supermask.packed_first import untrained_by_jax

    by_jax = untrained_by_jax(network)
    masks = {layer: np.asarray(network.masks[layer]) for layer in sorted(network.masks)}
    signed = network.weights == "signed_constant"
    constants = network.constants
    if signed and not constants:
        constants = {layer: float(np.abs(kernel).max()) for layer, kernel in by_jax.items()}
    network = replace(network, masks=masks, constants=constants)
    full = {layer: np.ones_like(mask) for layer, mask in masks.items()}
    for layer, leaves in rebuild(replace(network, masks=full, rescaled=False)).items():
        if not np.allclose(leaves["kernel"], by_jax[layer], rtol=ROUNDING, atol=ROUNDING * np.abs(by_jax[layer]).max()):
            raise PackedError(
                f"JAX {jax.__version__} draws other weights from seed {network.seed} than the file would stand for, "
                f"in layer {layer}: a mask of its weights cannot be packed"
            )
    blocks = {layer: encode(mask) for layer, mask in masks.items()}
    layers = tuple(
        Layer(
            layer,
            masks[layer].shape,
            coding,
            len(block),
            float(glorot_deviation(masks[layer].shape)),
            constants[layer] if signed else None,
        )
        for layer, (coding, block) in blocks.items()
    )
    own = (network.network, network.dataset, network.seed, network.weights, network.rescaled)
    digest = digest_of(_kernels(rebuild(network)))
    header = Header(*own, layers, jax.__version__, digest, image_shape=network.image_shape)
    parsed(written(header), ENVELOPE.version)
    return ENVELOPE.seal(written(header), b"".join(block for _, block in blocks.values()))


def unpack(content: bytes) -> tuple[MaskedNetwork, HostParams]:
    """Return the network of a file and its parameters, bit for bit as they were packed.

    Raises PackedError for a file that is truncated, altered, foreign or of another version, and if the weights drawn
    here differ from those that were packed.
    """
    text, blocks = ENVELOPE.open(content)
    version = FIXED.unpack_from(content)[1]
    header = parsed(text, version)
    if version == 1:
        from supermask.packed_first import with_shapes

        header = with_shapes(header)
    masks = _masks(header, blocks)
    constants = {layer.name: layer.constant for layer in header.layers if layer.constant is not None}
    own = (header.network, header.dataset, header.seed, header.weights, header.rescaled)
    network = MaskedNetwork(*own, masks, constants, header.image_shape)
    for params in _candidates(network, header, version):
        if digest_of(_kernels(params)) == header.kernels_sha256:
            return network, params
    raise PackedError(
        f"the weights drawn from seed {network.seed} are not those that were packed, by JAX {header.jax}: they were "
        "rounded or drawn otherwise, on another kind of processor or under other settings, or the header is changed"
    )


def sizes_of(network: MaskedNetwork, content: bytes) -> Sizes:
    """Return the sizes of a packed file, of its masks' entropy and of the kernels."""
    weights = sum(mask.size for mask in network.masks.values())
    entropy = sum(information(np.asarray(mask)) for mask in network.masks.values())
    return Sizes(len(content), entropy, -(-weights // 8), 4 * weights)


def digest_of(kernels: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of kernels as little-endian float32, ordered by the layers' names."""
    digest = hashlib.sha256()
    for layer in sorted(kernels):
        digest.update(np.ascontiguousarray(np.asarray(kernels[layer]), "<f4").tobytes())
    return digest.hexdigest()


def _masks(header: Header, blocks: bytes) -> dict[str, Any]:
    if sum(layer.length for layer in header.layers) != len(blocks):
        raise PackedError("the file is inconsistent: its layers are not those of its network")
    masks, start = {}, 0
    for layer in header.layers:
        try:
            masks[layer.name] = decode(layer.coding, blocks[start : start + layer.length], layer.shape)
        except CodingError as error:
            raise PackedError(f"the file is inconsistent: {error}") from None
        start += layer.length
    return masks


def _candidates(network: MaskedNetwork, header: Header, version: int) -> Iterator[HostParams]:
    """Yield what the seed may stand for: one thing, except for a file of version 1."""
    drawn = {}
    for layer in header.layers:
        key, deviation = layer_key(header.seed, layer.name, header.folds), np.float32(layer.deviation)
        drawn[layer.name] = glorot_kernel(key, layer.shape, deviation, header.partitionable)
    if version != 1:
        yield _params(network, drawn)
        return
    from supermask.packed_first import kernels_by_jax

    for kernels in kernels_by_jax(network, drawn):
        yield _with_biases(network, kernels)


def _params(network: MaskedNetwork, drawn: HostKernels) -> HostParams:
    """Return parameters from the initial kernels: of the named kind, rescaled if asked, under the mask."""
    kernels = {}
    for layer, kernel in drawn.items():
        ones = np.float32(np.count_nonzero(network.masks[layer]))
        values = _KINDS[network.weights](kernel, network.constants.get(layer))
        kernels[layer] = values * (np.float32(kernel.size) / ones) if network.rescaled and ones else values
    return _with_biases(network, kernels)


def _with_biases(network: MaskedNetwork, kernels: Mapping[str, Any]) -> HostParams:
    return {
        layer: {
            "kernel": np.where(np.asarray(network.masks[layer]), np.asarray(kernel), np.float32(0)),
            "bias": np.zeros(kernel.shape[-1], np.float32),
        }
        for layer, kernel in kernels.items()
    }


def _kernels(params: HostParams) -> dict[str, Any]:
    return {layer: leaves["kernel"] for layer, leaves in params.items()}


def _signed_constant(kernel: Float32[np.ndarray, "..."], constant: float | None) -> Float32[np.ndarray, "..."]:
    return np.sign(kernel) * np.float32(kernel.std(dtype=np.float64) if constant is None else constant)


_KINDS: Mapping[str, Callable[[Any, float | None], Any]] = {
    "initial": lambda kernel, _: kernel,
    "signed_constant": _signed_constant,
    "kaiming": lambda kernel, _: kernel * np.float32(glorot_to_kaiming(kernel.shape)),
    "signed_kaiming": lambda kernel, _: np.sign(kernel) * np.float32(math.sqrt(2 / fan_in(kernel.shape))),
}
