"""Convolutions of any kernel, stride, padding and groups, by the method that suits the platform.

Accelerators have native ones. On CPU, XLA's own gradients of a convolution are slow inside a loop, up to a hundred
times (see `supermask.convolution`), and every training here is a loop. There, a 3×3 'same' convolution of stride 1 and
16 channels or more is Winograd's, a 1×1 one is a matrix product, a depthwise one is a sum over the kernel's places, and
any other is the product of patches with the kernel. The last two go through the batch in chunks that fit a core's
cache.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from supermask.checks import check_whole
from supermask.convolution import winograd_pays
from supermask.winograd import chunk_size, pad_to_multiples, winograd_layer

NUMBERS_A_CHUNK = 1 << 18
"""Numbers in the patches of a chunk: a megabyte."""

Method = Literal["native", "written out"]


def convolve(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "high wide channels_a_group features"],
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    method: Literal["auto"] | Method = "auto",
) -> Float[Array, "batch h w features"]:
    """Return the convolution of images with a kernel, without a bias.

    stride: the same for height and width. padding: zeros on all four sides. groups: the features of a group read the
    channels of that group alone; as many groups as channels make it depthwise. 'auto' is 'native' on accelerators.

    Raises ValueError where shapes, stride, padding and groups do not fit each other.
    """
    _check(x.shape, kernel.shape, stride, padding, groups)
    if method == "auto":
        method = "written out" if jax.default_backend() == "cpu" else "native"
    if method == "native":
        return _native(x, kernel, stride, padding, groups)
    return _written_out(x, kernel, stride, padding, groups)


def _check(x: tuple[int, ...], kernel: tuple[int, ...], stride: int, padding: int, groups: int) -> None:
    for name, value, least in (("stride", stride, 1), ("padding", padding, 0), ("groups", groups, 1)):
        check_whole(name, value, least)
    if x[-1] != kernel[2] * groups or kernel[3] % groups:
        raise ValueError(
            f"kernel has shape {kernel} for {x[-1]} channels in {groups} groups; allowed: the channels of a group, and "
            "features that the number of groups divides"
        )
    if any(size + 2 * padding < side for size, side in zip(x[1:3], kernel[:2], strict=True)) or not x[0]:
        raise ValueError(f"x has shape {x}; allowed: one image or more, padded to {kernel[0]}×{kernel[1]} or larger")


def _native(x: Array, kernel: Array, stride: int, padding: int, groups: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        ((padding, padding),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@partial(jax.jit, static_argnums=(2, 3, 4), inline=False)
def _written_out(x: Array, kernel: Array, stride: int, padding: int, groups: int) -> Array:
    """Compiled by that name, by which `supermask.flops` finds a convolution in a program."""
    high, wide, _, _ = kernel.shape
    if (high, wide, padding, groups) == (1, 1, 0, 1):
        return x[:, ::stride, ::stride] @ kernel[0, 0]
    zero = jnp.zeros_like(x, shape=()) + jnp.zeros_like(kernel, shape=())  # as in `supermask.convolution`
    x, kernel = x + zero, kernel + zero
    same = (high, wide, stride, padding, groups) == (3, 3, 1, 1, 1)
    if same and winograd_pays(x.shape, kernel.shape[3], x.dtype, least=16):
        return winograd_layer(x, kernel, jnp.zeros_like(kernel, shape=kernel.shape[3:]), ending="nothing")
    one = _by_taps if groups == x.shape[-1] else _by_patches
    return _in_chunks(partial(one, stride=stride, padding=padding, groups=groups), x, kernel)


def _taps(x: Array, kernel: Array, stride: int, padding: int) -> list[Array]:
    """Return what each place of the kernel reads, in the order of the kernel's rows."""
    high, wide = kernel.shape[:2]
    framed = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    h, w = ((size - side) // stride + 1 for size, side in zip(framed.shape[1:3], (high, wide), strict=True))
    reach = [(size - 1) * stride + 1 for size in (h, w)]
    return [framed[:, i : i + reach[0] : stride, j : j + reach[1] : stride] for i in range(high) for j in range(wide)]


def _by_taps(x: Array, kernel: Array, *, stride: int, padding: int, groups: int) -> Array:
    each = kernel.shape[3] // groups  # features a channel
    taps = [jnp.repeat(tap, each, axis=-1) if each > 1 else tap for tap in _taps(x, kernel, stride, padding)]
    factors = kernel.reshape(-1, 1, 1, 1, kernel.shape[3])
    return sum((tap * factor for tap, factor in zip(taps[1:], factors[1:], strict=True)), taps[0] * factors[0])


def _by_patches(x: Array, kernel: Array, *, stride: int, padding: int, groups: int) -> Array:
    high, wide, channels, features = kernel.shape
    taps = jnp.stack(_taps(x, kernel, stride, padding), axis=3)  # images, h, w, places, channels
    if groups == 1:
        return taps.reshape(*taps.shape[:3], -1) @ kernel.reshape(-1, features)
    patches = taps.reshape(*taps.shape[:4], groups, channels)
    own = kernel.reshape(high * wide, channels, groups, features // groups)
    return jnp.einsum("nhwkgc,kcgf->nhwgf", patches, own).reshape(*taps.shape[:3], features)


Whole = Callable[[Array, Array], Array]
"""(images, kernel) -> their convolution."""


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_chunks(convolution: Whole, x: Array, kernel: Array) -> Array:
    return _forward(convolution, x, kernel)[0]


def _forward(convolution: Whole, x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    batch, images = x.shape[0], _images_a_chunk(convolution, x, kernel)
    padded = pad_to_multiples(x, (images, 1, 1, 1))

    def chunk(index: Array, y: Array) -> Array:
        part = lax.dynamic_slice_in_dim(padded, index * images, images)
        return lax.dynamic_update_slice_in_dim(y, convolution(part, kernel), index * images, 0)

    shape = jax.eval_shape(convolution, padded, kernel).shape
    y: Array = lax.fori_loop(0, len(padded) // images, chunk, jnp.zeros_like(x, shape=shape))
    return y[:batch], (x, kernel)


def _backward(convolution: Whole, saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    batch, images = x.shape[0], _images_a_chunk(convolution, x, kernel)
    padded, d_padded = pad_to_multiples(x, (images, 1, 1, 1)), pad_to_multiples(dy, (images, 1, 1, 1))

    def chunk(index: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        dx, d_kernel = carry
        read = partial(lax.dynamic_slice_in_dim, start_index=index * images, slice_size=images)
        _, pull = jax.vjp(convolution, read(padded), kernel)
        dx_part, d_kernel_part = pull(read(d_padded))
        return lax.dynamic_update_slice_in_dim(dx, dx_part, index * images, 0), d_kernel + d_kernel_part

    empty = (jnp.zeros_like(padded), jnp.zeros_like(kernel))
    dx, d_kernel = lax.fori_loop(0, len(padded) // images, chunk, empty)
    return dx[:batch], d_kernel


_in_chunks.defvjp(_forward, _backward)


def _images_a_chunk(convolution: Whole, x: Array, kernel: Array) -> int:
    shape: Any = jax.eval_shape(convolution, x[:1], kernel).shape
    numbers = shape[1] * shape[2] * kernel.shape[0] * kernel.shape[1] * x.shape[3]
    return chunk_size(x.shape[0], NUMBERS_A_CHUNK // numbers)
