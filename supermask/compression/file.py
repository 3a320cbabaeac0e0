"""File format of a compressed network, which decodes to the same parameters, bit for bit, and so the same logits.

    magic (8 bytes)  version (2)  length of header (4)  header  blocks  SHA-256 of everything before (32)

Numbers are little-endian; the header is JSON. A layer's entry has the counts of its gaps, the counts of its values (of
filler zeros, then of each shared value), and the lengths of both streams. Each layer, in the order of their names, has
four blocks: coded gaps, coded values, the codebook and the biases as float32. Reading first checks length and digest,
then every field of the header, and only then allocates memory. Shapes are not in the file: they are those of the
network that the header names. Reading runs no code.

In format 2, codebooks have 2^bits values, or one less if filler zeros need a code. Format 1, which is still read,
always had 2^bits values.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from supermask.compression import coding
from supermask.compression.coding import CodingError, Symbols
from supermask.compression.quantisation import MOST_BITS, Quantised
from supermask.envelope import Envelope
from supermask.networks import NETWORKS, network_of, shapes_of
from supermask.params import kernels_of

_BLOCKS = 4

MOST_VALUES = 1 << 15
"""Most values per image: ten times CIFAR-10's."""

MOST_WEIGHTS = 1 << 23
"""Most weights: twice Conv2's on CIFAR-10. It bounds the memory to which a small file can expand."""


class CompressedError(ValueError):
    """The file is not a compressed network, or is damaged. The message says what was expected and what was found."""


ENVELOPE = Envelope(b"SMDEEPCO", 2, 64 * 1024, "a compressed network", CompressedError, older=(1,))


@dataclass(frozen=True)
class StageSizes:
    """Size of a network, in bytes, after each stage of its compression.

    dense: all weights and biases as float32. pruned: live weights as float32, with relative indices and biases.
    quantised: codes instead of weights, including the filler zeros' code, and codebooks. coded: the file.
    """

    dense: int
    pruned: int
    quantised: int
    coded: int

    @property
    def rate(self) -> float:
        """Compression rate: dense size over file size."""
        return self.dense / self.coded


def check_size(network: str, image_shape: tuple[int, int, int], classes: int) -> None:
    """Raise ValueError if such images or the network for them exceed the bounds of a file."""
    _shapes(network, image_shape, classes)


def compress(
    network: str, image_shape: tuple[int, int, int], quantised: Quantised, index_bits: Mapping[str, int]
) -> tuple[bytes, StageSizes]:
    """Return the file's content and the size after each stage.

    Raises ValueError if the network's name is unknown, the kernels do not have its shapes, or there are more weights
    than `MOST_WEIGHTS`.
    """
    classes = len(quantised.biases["output"])
    shapes = _shapes(network, image_shape, classes)
    if {layer: codes.shape for layer, codes in quantised.codes.items()} != {n: k for n, (k, _) in shapes.items()}:
        raise ValueError(f"quantised does not have the kernels of {network} for images of shape {image_shape}")
    entries, blocks = [], []
    dense = pruned = coded_bits = 0
    for layer in sorted(shapes):
        codebook = np.asarray(quantised.codebooks[layer], "<f4")
        bias = np.asarray(quantised.biases[layer], "<f4")
        mask, codes = np.asarray(quantised.masks[layer]), np.asarray(quantised.codes[layer])
        symbols = coding.to_symbols(mask, codes, index_bits[layer])
        gap_counts = coding.frequencies(symbols.gaps, 2 ** index_bits[layer])
        value_counts = coding.frequencies(symbols.values, codebook.size + 1)
        own = [coding.encode(symbols.gaps, gap_counts), coding.encode(symbols.values, value_counts)]
        blocks += [*own, codebook.tobytes(), bias.tobytes()]
        entries.append([gap_counts, value_counts, len(own[0]), len(own[1])])
        dense += 4 * (mask.size + bias.size)
        pruned += 4 * bias.size + -(-symbols.gaps.size * (32 + index_bits[layer]) // 8)
        codes_used = codebook.size + (value_counts[0] > 0)  # filler zeros need a code too
        bits = (codes_used - 1).bit_length() + index_bits[layer]
        coded_bits += 8 * (bias.nbytes + codebook.nbytes) + symbols.gaps.size * bits
    header: dict[str, Any] = {"network": network, "image_shape": list(image_shape), "layers": entries}
    if classes != NETWORKS[network].classes:
        header["classes"] = classes
    content = ENVELOPE.seal(header, b"".join(blocks))
    return content, StageSizes(dense, pruned, -(-coded_bits // 8), len(content))


def decompress(content: bytes) -> tuple[str, Quantised]:
    """Return the network's name and the network. Memory is allocated only for counts that fit the named network.

    Raises CompressedError for a file that is truncated, altered, foreign, of another version or inconsistent.
    """
    header, rest = ENVELOPE.open(content)
    _check(header)
    try:
        known = NETWORKS[header["network"]].classes
        shapes = _shapes(header["network"], tuple(header["image_shape"]), header.get("classes", known))
    except ValueError as error:
        raise CompressedError(f"the file's network does not fit its image_shape: {error}") from None
    if len(header["layers"]) != len(shapes):
        raise CompressedError(f"the file has {len(header['layers'])} layers; its network has {len(shapes)}")
    quantised = Quantised({}, {}, {}, {})
    for layer, entry in zip(sorted(shapes), header["layers"], strict=True):
        gap_counts, value_counts, gap_bytes, value_bytes = entry
        shape, features = shapes[layer]
        _check_counts(layer, gap_counts, value_counts, math.prod(shape))
        lengths = (gap_bytes, value_bytes, 4 * (len(value_counts) - 1), 4 * features)
        if sum(lengths) > len(rest):
            raise CompressedError(f"the file's layer {layer} takes {sum(lengths)} bytes; {len(rest)} are left")
        pieces, start = [], 0
        for length in lengths:
            pieces.append(rest[start : start + length])
            start += length
        rest = rest[start:]
        try:
            gaps, values = coding.decode(pieces[0], gap_counts), coding.decode(pieces[1], value_counts)
            mask, codes = coding.from_symbols(Symbols(gaps, values), shape)
        except CodingError as error:
            raise CompressedError(f"the file's layer {layer} is inconsistent: {error}") from None
        quantised.codes[layer], quantised.masks[layer] = codes, mask
        quantised.codebooks[layer] = np.frombuffer(pieces[2], "<f4").astype(np.float32)
        quantised.biases[layer] = np.frombuffer(pieces[3], "<f4").astype(np.float32)
    if rest:
        raise CompressedError(f"the file has {len(rest)} bytes more than its layers take")
    return header["network"], quantised


def _shapes(network: str, image_shape: tuple[int, int, int], classes: int) -> dict[str, tuple[tuple[int, ...], int]]:
    """Return each kernel's shape and number of biases, without drawing any. Raises ValueError beyond the bounds."""
    if network not in NETWORKS:
        raise ValueError(f"network is {network!r}; allowed: {', '.join(NETWORKS)}")
    if math.prod(image_shape) > MOST_VALUES:
        raise ValueError(f"image_shape is {image_shape}; allowed: up to {MOST_VALUES:,} values an image")
    params = shapes_of(network_of(network, classes), image_shape)
    weights = sum(kernel.size for kernel in kernels_of(params).values())
    if weights > MOST_WEIGHTS:
        raise ValueError(f"{network} for images of {image_shape} has {weights:,} weights; allowed: {MOST_WEIGHTS:,}")
    return {layer: (tuple(leaves["kernel"].shape), leaves["bias"].shape[0]) for layer, leaves in params.items()}


def _check_counts(layer: str, gap_counts: list[int], value_counts: list[int], size: int) -> None:
    """Raise CompressedError if the counts of a layer's symbols do not fit a layer of that size."""
    symbols, reach = sum(gap_counts), sum((gap + 1) * count for gap, count in enumerate(gap_counts))
    if symbols != sum(value_counts) or symbols > size:
        raise CompressedError(f"the file's layer {layer} has {symbols} symbols; allowed: {size}")
    if reach > size:
        raise CompressedError(f"the file's layer {layer} is inconsistent: indices reach weight {reach - 1} of {size}")
    if value_counts[0] > gap_counts[-1]:
        raise CompressedError(
            f"the file's layer {layer} is inconsistent: {value_counts[0]} fillers, {gap_counts[-1]} of a filler's gap"
        )


def _check(header: Any) -> None:
    """Raise CompressedError unless every field is present, of its type and within bounds."""
    if not isinstance(header, dict) or set(header) - {"classes"} != {"network", "image_shape", "layers"}:
        raise CompressedError("the file's header does not have the fields network, image_shape and layers alone")
    if not isinstance(header["network"], str) or header["network"] not in NETWORKS:
        raise CompressedError(f"the file's network is {header['network']!r}; known here: {', '.join(NETWORKS)}")
    shape = header["image_shape"]
    if not (isinstance(shape, list) and len(shape) == 3 and all(_is_size(n, MOST_VALUES) for n in shape)):
        raise CompressedError(f"the file's image_shape is {shape!r}; allowed: three sizes from 1 to {MOST_VALUES}")
    if "classes" in header and not _is_size(header["classes"], MOST_WEIGHTS):
        raise CompressedError(f"the file's classes is {header['classes']!r}; allowed: 1 to {MOST_WEIGHTS}")
    if not isinstance(header["layers"], list) or not all(_is_layer(entry) for entry in header["layers"]):
        raise CompressedError("the file's layers are not each two lists of counts and two lengths")


def _is_size(value: Any, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _is_layer(entry: Any) -> bool:
    if not (isinstance(entry, list) and len(entry) == _BLOCKS):
        return False
    gaps, values, *lengths = entry
    of_gaps = {2**bits for bits in range(1, coding.MOST_INDEX_BITS + 1)}
    of_values = {2**bits + more for bits in range(1, MOST_BITS + 1) for more in (0, 1)}
    counted = all(
        isinstance(counts, list) and len(counts) in allowed and all(type(n) is int and 0 <= n < 2**31 for n in counts)
        for counts, allowed in zip((gaps, values), (of_gaps, of_values), strict=True)
    )
    return counted and all(type(n) is int and n >= 0 for n in lengths)
