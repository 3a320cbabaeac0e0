"""What nodes do with their maps: normalise, filter, and send them along edges.

Maps are stored node by node, with each node's positions below one another and the batch innermost. Edges are then one
matrix product, filters one product per node, and sums over positions add vectors. A 3×3 filter is a matrix of
positions × positions, mostly zeros. On maps this small it costs almost nothing compared with the edges, whereas a sum
of nine shifted maps takes XLA's CPU backend four times as long, and a grouped convolution's gradients inside a loop
about a hundred times.

Gradients of edges and of the normalisation are written out. XLA's CPU backend takes twice as long for a product over
two axes, as the derived gradient of an edge is, as for the same product over one.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Maps = Float[Array, "_ positions batch"]

EPSILON = 1e-5
"""Constant added to variances, PyTorch's default. The gradient of an edge to a node without any live edge, whose
variance is 0, is thereby 1/√ε = 316 times as large as the node's own."""

MOMENTUM = 0.1
"""Share of a batch in the running statistics of batch norm, PyTorch's default."""


@jax.custom_vjp
def normalise(
    x: Float[Array, "nodes positions batch"], scale: Float[Array, " nodes"], offset: Float[Array, " nodes"]
) -> Float[Array, "nodes positions batch"]:
    """Normalise each node of each image to mean 0 and variance 1 over positions; then apply its scale and offset."""
    return _normalised(x, scale, offset)[0]


def _normalised(x: Maps, scale: Array, offset: Array) -> tuple[Maps, tuple[Array, ...]]:
    mean = x.mean(1, keepdims=True)
    root = lax.rsqrt(jnp.square(x - mean).mean(1, keepdims=True) + EPSILON)
    return (x - mean) * root * scale[:, None, None] + offset[:, None, None], (x, mean, root, scale)


def _normalised_gradient(kept: tuple[Array, ...], gradient: Maps) -> tuple[Maps, Array, Array]:
    x, mean, root, scale = kept
    own = (x - mean) * root
    # Over positions: their mean is taken out of the maps, and what is along the maps, since their length is fixed.
    level, along = gradient.mean(1, keepdims=True), (gradient * own).mean(1, keepdims=True)
    positions = x.shape[1]
    return (
        (gradient - level - own * along) * (root * scale[:, None, None]),
        positions * along.sum((1, 2)),
        positions * level.sum((1, 2)),
    )


normalise.defvjp(_normalised, _normalised_gradient)


def batch_normalise(
    x: Float[Array, "nodes positions batch"], own: dict[str, Array], training: bool
) -> tuple[Float[Array, "nodes positions batch"], dict[str, Array]]:
    """Normalise each node over positions and images; apply its scale and offset.

    In training by the batch's own statistics, else by the running ones in `own`: `mean` and `variance`. Returns also
    the running statistics after this batch; as in PyTorch their variance is an unbiased estimate.
    """
    if training:
        mean, count = x.mean((1, 2)), x.shape[1] * x.shape[2]
        variance = jnp.square(x - mean[:, None, None]).mean((1, 2))
        unbiased = variance * (count / max(count - 1, 1))
        seen = {"mean": lax.stop_gradient(mean), "variance": lax.stop_gradient(unbiased)}
    else:
        mean, variance = own["mean"], own["variance"]
        seen = {"mean": mean, "variance": variance}
    factor = lax.rsqrt(variance + EPSILON) * own["scale"]
    moved = {name: (1 - MOMENTUM) * own[name] + MOMENTUM * value for name, value in seen.items()}
    return (x - mean[:, None, None]) * factor[:, None, None] + own["offset"][:, None, None], moved


def filtered(
    x: Float[Array, "nodes positions batch"], matrices: Float[Array, "nodes positions _"]
) -> Float[Array, "nodes _ batch"]:
    """Apply each node's own filter, as returned by `filter_matrices`."""
    return jnp.einsum("npq,npb->nqb", matrices, x)


@jax.custom_vjp
def carried(
    x: Float[Array, "nodes positions batch"], table: Float[Array, "nodes targets"]
) -> Float[Array, "targets positions batch"]:
    """Return each target's input: the sum of the nodes' maps, each times its edge's weight."""
    return (table.T @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])


def _carried(x: Maps, table: Array) -> tuple[Maps, tuple[Array, Array]]:
    return carried(x, table), (x, table)


def _carried_gradient(kept: tuple[Array, Array], gradient: Maps) -> tuple[Maps, Array]:
    x, table = kept
    flat = gradient.reshape(gradient.shape[0], -1)
    return (table @ flat).reshape(x.shape), x.reshape(x.shape[0], -1) @ flat.T


carried.defvjp(_carried, _carried_gradient)


def filter_matrices(
    filters: Float[Array, "3 3 nodes"], shape: tuple[int, int], stride: int = 1
) -> Float[Array, "nodes positions _"]:
    """Express strided 3×3 'same' convolutions as matrices over flattened positions of maps of that shape."""
    height, width = shape
    # The input position of each filter tap for each output position.
    taps = np.zeros((3, 3, height + 2, width + 2, -(-height // stride), -(-width // stride)), np.float32)
    i, j, row, column = np.indices((3, 3, *taps.shape[4:]))
    taps[i, j, row * stride + i, column * stride + j, row, column] = 1
    seen = taps[:, :, 1:-1, 1:-1].reshape(9, height * width, -1)
    return jnp.einsum("tpq,tn->npq", seen, filters.reshape(9, -1))


def by_node(x: Float[Array, "batch height width nodes"]) -> Float[Array, "nodes height width batch"]:
    """Rearrange images by channel, with the batch innermost."""
    return jnp.transpose(x, (3, 1, 2, 0))


def patches(x: Float[Array, "channels height width batch"], stride: int) -> Float[Array, "_ rows columns batch"]:
    """Return the 3×3 neighbourhoods at a stride, zero-padded: nine times the channels, one tap after another."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    nine = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]
    return jnp.concatenate(nine, axis=0)


def centre(x: Maps, shape: tuple[int, int]) -> Float[Array, "batch nodes"]:
    """Return the mean of four positions near the middle of maps of that shape.

    They are rows and columns 2 and 3 of 8, as in the released code, which is half a position off the middle.
    """
    top, left = (max(size // 2 - 2, 0) for size in shape)
    return x.reshape(x.shape[0], *shape, -1)[:, top : top + 2, left : left + 2].mean((1, 2)).T
