"""3×3 'same' convolution with bias, ReLU and 2×2 max pooling by Winograd's F(4×4, 3×3), and its gradients.

The output is cut into 4×4 tiles. A tile Y needs the 6×6 patch d of the input around it, and with a kernel w

    Y = A'[U ⊙ V]A    where    U = G w G'    and    V = B' d B:

36 multiplications where the sums written out take 144. Over all tiles and channels, ⊙ is 36 matrix products, one a
point (p, q) of the 6×6 transforms. The kernel's gradient is the adjoint of this: G'[V ⊙ A dY A']G, summed over tiles.
The input's gradient is the same convolution again, of dY with the kernel turned by 180° and its channels swapped.
Lavin & Gray 2015 (arXiv 1509.09308); in float32 the relative error is about 2e-6.

How this is written matters to XLA's CPU backend. Each intermediate is written with `dynamic_update_slice` into a
workspace that rides in the carry of a loop over chunks of images: as pad, stack or concatenate, the same sums get fused
into loops that make training up to 1.6 times slower. A chunk's workspaces fit a core's cache, which sets its size.
"""

from collections.abc import Sequence
from functools import partial, reduce
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Ending = Literal["nothing", "relu", "pool"]
"""What follows a convolution: nothing; bias and ReLU; or these and 2×2 max pooling."""

TILE = 4  # side of an output tile
POINTS = 6  # side of a patch, and of the transforms
TILES_A_CHUNK = 48  # one image of 32×32, 3 of 16×16, 12 of 8×8

# Lavin & Gray's matrices.
B_TRANSPOSED = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
A_TRANSPOSED = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)
A = tuple(zip(*A_TRANSPOSED, strict=True))
G_TRANSPOSED = tuple(zip(*G, strict=True))


def winograd_layer(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "3 3 channels features"],
    bias: Float[Array, " features"],
    *,
    ending: Ending,
) -> Float[Array, "batch h w features"]:
    """conv(x, kernel) and its `ending`; with 'pool', h = height // 2 and w = width // 2. 'nothing' reads no bias.

    Serves every shape, padding sides to multiples of 4 and the batch to equal chunks. Of tied maxima the first gets the
    gradient, and the ReLU's at 0 is 0. See `supermask.convolution.conv_relu`, which checks its arguments.
    """
    batch, height, width, _ = x.shape
    down, across = -(-height // TILE), -(-width // TILE)
    images = chunk_size(batch, TILES_A_CHUNK // (down * across))
    y = _layer(pad_to_multiples(x, (images, TILE, TILE, 1)), kernel, bias, images, ending)
    step = shrinking(ending)
    return y[:batch, : height // step, : width // step]


def shrinking(ending: Ending) -> int:
    """Return the factor by which an ending divides height and width."""
    return 2 if ending == "pool" else 1


def chunk_size(total: int, most: int) -> int:
    """Size of as few equal chunks as will hold `total` (1 or more) with at most `most` (or 1) each: 7 for 13 by 12."""
    chunks = -(-total // max(most, 1))
    return -(-total // chunks)


def pad_to_multiples(x: Array, factors: tuple[int, ...]) -> Array:
    """x with zeros at the end of each axis up to a multiple of its factor."""
    return jnp.pad(x, [(0, -size % factor) for size, factor in zip(x.shape, factors, strict=True)])


def rectify(
    z: Float[Array, "batch height width features"], bias: Float[Array, " features"], *, ending: Ending
) -> tuple[Array, Array]:
    """Apply an ending to a convolution (of even sides for 'pool'). Return also what `rectify_gradient` needs to know.

    That is the result itself after a ReLU; after pooling, which of a window's four values is the first maximum, or 4
    where the ReLU gives 0, as int8.
    """
    if ending == "nothing":
        return z, z
    shift = bias.reshape(1, 1, 1, -1)
    if ending == "relu":
        y = jnp.maximum(z + shift, 0)
        return y, y
    batch, height, width, features = z.shape
    windows = z.reshape(batch, height // 2, 2, width // 2, 2, features)
    corners = [windows[:, :, i, :, j] for i in (0, 1) for j in (0, 1)]
    largest = jnp.maximum(jnp.maximum(corners[0], corners[1]), jnp.maximum(corners[2], corners[3]))
    chosen = jnp.full(largest.shape, 3, jnp.int8)
    for index in (2, 1, 0):
        chosen = jnp.where(corners[index] == largest, jnp.int8(index), chosen)
    y = jnp.maximum(largest + shift, 0)
    return y, jnp.where(y > 0, chosen, jnp.int8(4))


def rectify_gradient(dy: Float[Array, "batch h w features"], chosen: Array, *, ending: Ending) -> Array:
    """Return the gradient of `rectify` with respect to z + bias.

    The first of tied maxima gets all of a window's gradient, and nothing passes a ReLU at exactly 0.
    """
    if ending == "nothing":
        return dy
    if ending == "relu":
        return jnp.where(chosen > 0, dy, 0)
    batch, h, w, features = dy.shape
    corner = jnp.arange(4, dtype=jnp.int8).reshape(1, 1, 2, 1, 2, 1)
    window = (batch, h, 1, w, 1, features)
    spread = jnp.where(chosen.reshape(window) == corner, dy.reshape(window), 0)
    return spread.reshape(batch, 2 * h, 2 * w, features)


def _combine(coefficients: Sequence[float], terms: Sequence[Array]) -> Array:
    """Return a linear combination without multiplications by 0 and 1."""
    scaled = (term if c == 1 else float(c) * term for c, term in zip(coefficients, terms, strict=True) if c)
    return reduce(jnp.add, scaled)


def _transform(matrix: Sequence[Sequence[float]], square: Array) -> Array:
    """matrix · square · matrix', for the two leading axes of `square`, which come out swapped."""
    rows = [_combine(coefficients, list(square)) for coefficients in matrix]
    return jnp.stack([jnp.stack([_combine(c, list(row)) for row in rows]) for c in matrix])


def _kernel_points(kernel: Float[Array, "3 3 a b"]) -> Float[Array, "6 6 a b"]:
    """U = G w G'. The barrier keeps it from being fused with what comes before and after, 5% slower."""
    points: Array = lax.optimization_barrier(_transform(G, kernel))
    return points


def _write(workspace: Array, update: Array, *start: int | Array) -> Array:
    """Return the workspace with `update` at `start`, and at 0 along the axes not given."""
    return lax.dynamic_update_slice(workspace, update, start + (0,) * (workspace.ndim - len(start)))


class _Patches(NamedTuple):
    """Workspace for V = B' d B of the 6×6 patches around the tiles of some images.

    In all workspaces a point (p, q) is stored as [q, p].
    """

    framed: Float[Array, "images framed_height framed_width channels"]  # by zeros: 1 before, 3 after
    half: Float[Array, "6 images down columns 4 channels"]  # B' d of whole framed rows, in columns of 4
    points: Float[Array, "6 6 tiles channels"]  # V

    @classmethod
    def empty(cls, x: Array, images: int, channels: int) -> "_Patches":
        _, height, width, _ = x.shape
        down, across = height // TILE, width // TILE
        return cls(
            jnp.zeros_like(x, shape=(images, height + TILE, width + TILE, channels)),
            jnp.zeros_like(x, shape=(POINTS, images, down, across + 1, TILE, channels)),
            jnp.zeros_like(x, shape=(POINTS, POINTS, images * down * across, channels)),
        )

    def of(self, x: Float[Array, "images height width channels"]) -> "_Patches":
        framed, half, points = self
        _, images, down, columns, _, channels = half.shape
        framed = _write(framed, x, 0, 1, 1)
        bands = framed.reshape(images, down + 1, TILE, columns * TILE, channels)
        rows = [
            bands[:, i // TILE : i // TILE + down, i % TILE].reshape(1, images, down, columns, TILE, channels)
            for i in range(POINTS)
        ]
        for p, coefficients in enumerate(B_TRANSPOSED):
            half = _write(half, _combine(coefficients, rows), p)
        across = columns - 1
        lines = [half[:, :, :, j // TILE : j // TILE + across, j % TILE] for j in range(POINTS)]
        for q, coefficients in enumerate(B_TRANSPOSED):
            points = _write(points, _combine(coefficients, lines).reshape(1, *points.shape[1:]), q)
        return type(self)(framed, half, points)


class _GradientTiles(NamedTuple):
    """Workspace for A dY A' of the 4×4 tiles of the gradient of some images' outputs."""

    half: Float[Array, "6 images down across 4 features"]  # A dY
    points: Float[Array, "6 6 tiles features"]

    @classmethod
    def empty(cls, x: Array, images: int, features: int) -> "_GradientTiles":
        _, height, width, _ = x.shape
        down, across = height // TILE, width // TILE
        return cls(
            jnp.zeros_like(x, shape=(POINTS, images, down, across, TILE, features)),
            jnp.zeros_like(x, shape=(POINTS, POINTS, images * down * across, features)),
        )

    def of(self, framed: Float[Array, "images framed_height framed_width features"]) -> "_GradientTiles":
        half, points = self
        _, images, down, across, _, features = half.shape
        dy = framed[:, 1 : 1 + TILE * down, 1 : 1 + TILE * across]
        tiles = dy.reshape(1, images, down, TILE, across, TILE, features)
        rows = [tiles[:, :, :, i] for i in range(TILE)]
        for p, coefficients in enumerate(A):
            half = _write(half, _combine(coefficients, rows), p)
        columns = [half[:, :, :, :, j] for j in range(TILE)]
        for q, coefficients in enumerate(A):
            points = _write(points, _combine(coefficients, columns).reshape(1, *points.shape[1:]), q)
        return type(self)(half, points)


class _Outputs(NamedTuple):
    """Workspace for the tiles Y = A' M A of some images, M being the products at the points."""

    half: Float[Array, "4 6 tiles features"]  # A' M
    tiles: Float[Array, "all down 4 across 4 features"]  # Y: the images as they lie in memory

    @classmethod
    def empty(cls, x: Array, images: int, all_images: int, features: int) -> "_Outputs":
        _, height, width, _ = x.shape
        down, across = height // TILE, width // TILE
        return cls(
            jnp.zeros_like(x, shape=(TILE, POINTS, images * down * across, features)),
            jnp.zeros_like(x, shape=(all_images, down, TILE, across, TILE, features)),
        )

    def of(self, products: Float[Array, "6 6 tiles features"], first_image: int | Array) -> "_Outputs":
        half, tiles = self
        _, down, _, across, _, features = tiles.shape
        for i, coefficients in enumerate(A_TRANSPOSED):
            half = _write(half, _combine(coefficients, [products[:, p] for p in range(POINTS)])[None], i)
        for i in range(TILE):
            for j, coefficients in enumerate(A_TRANSPOSED):
                values = _combine(coefficients, [half[i, q] for q in range(POINTS)])
                tiles = _write(tiles, values.reshape(-1, down, 1, across, 1, features), first_image, 0, i, 0, j)
        return type(self)(half, tiles)


def _products(points: Float[Array, "6 6 tiles a"], kernels: Float[Array, "6 6 a b"]) -> Float[Array, "6 6 tiles b"]:
    return lax.dot_general(points, kernels, (((3,), (2,)), ((0, 1), (0, 1))))


def _products_over_tiles(a: Float[Array, "6 6 tiles a"], b: Float[Array, "6 6 tiles b"]) -> Float[Array, "6 6 a b"]:
    return lax.dot_general(a, b, (((2,), (2,)), ((0, 1), (0, 1))))


_Saved = tuple[Array, Array, Array]  # x, the kernel, and what `rectify_gradient` needs


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _layer(x: Array, kernel: Array, bias: Array, images: int, ending: Ending) -> Array:
    """Return the layer for sides that 4 divides and a batch of equal chunks of `images`."""
    return _forward(x, kernel, bias, images, ending)[0]


def _forward(x: Array, kernel: Array, bias: Array, images: int, ending: Ending) -> tuple[Array, _Saved]:
    batch, height, width, channels = x.shape
    features = kernel.shape[3]
    transformed = _kernel_points(kernel)

    def chunk(index: Array, carry: tuple[_Patches, _Outputs, Array, Array]) -> tuple[_Patches, _Outputs, Array, Array]:
        patches, outputs, y, chosen = carry
        first = index * images
        patches = patches.of(lax.dynamic_slice_in_dim(x, first, images))
        outputs = outputs.of(_products(patches.points, transformed), 0)
        z = outputs.tiles.reshape(images, height, width, features)
        y_chunk, chosen_chunk = rectify(z, bias, ending=ending)
        return patches, outputs, _write(y, y_chunk, first), _write(chosen, chosen_chunk, first)

    step = shrinking(ending)
    shape = (batch, height // step, width // step, features)
    empty = (
        _Patches.empty(x, images, channels),
        _Outputs.empty(x, images, images, features),
        jnp.zeros_like(x, shape=shape),
        jnp.zeros_like(x, shape=shape, dtype=jnp.int8 if ending == "pool" else x.dtype),
    )
    _, _, y, chosen = lax.fori_loop(0, batch // images, chunk, empty)
    return y, (x, kernel, chosen if ending == "pool" else y)


_Gradients = tuple[_Patches, _Patches, _GradientTiles, _Outputs, Array, Array]


def _backward(images: int, ending: Ending, saved: _Saved, dy: Array) -> tuple[Array, Array, Array]:
    x, kernel, chosen = saved
    batch, _, _, channels = x.shape
    features = kernel.shape[3]
    turned = _kernel_points(kernel[::-1, ::-1].swapaxes(2, 3))

    def chunk(index: Array, carry: _Gradients) -> _Gradients:
        x_patches, dz_patches, dz_tiles, dx, d_transformed, d_bias = carry
        first = index * images
        read = partial(lax.dynamic_slice_in_dim, start_index=first, slice_size=images)
        dz_patches = dz_patches.of(rectify_gradient(read(dy), read(chosen), ending=ending))
        dz_tiles = dz_tiles.of(dz_patches.framed)
        x_patches = x_patches.of(read(x))
        d_transformed = d_transformed + _products_over_tiles(x_patches.points, dz_tiles.points)
        d_bias = d_bias + dz_patches.framed.sum((0, 1, 2))
        dx = dx.of(_products(dz_patches.points, turned), first)
        return x_patches, dz_patches, dz_tiles, dx, d_transformed, d_bias

    empty = (
        _Patches.empty(x, images, channels),
        _Patches.empty(x, images, features),
        _GradientTiles.empty(x, images, features),
        _Outputs.empty(x, images, batch, channels),
        jnp.zeros_like(x, shape=(POINTS, POINTS, channels, features)),
        jnp.zeros_like(x, shape=(features,)),
    )
    *_, dx, d_transformed, d_bias = lax.fori_loop(0, batch // images, chunk, empty)
    return dx.tiles.reshape(x.shape), _transform(G_TRANSPOSED, d_transformed), d_bias


_layer.defvjp(_forward, _backward)
