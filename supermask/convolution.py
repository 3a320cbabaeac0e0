"""The networks' convolution layer, 3×3 'same' with bias, ReLU and max pooling, by the method that suits the platform.

    native    XLA's convolution with its own gradients: for GPU and TPU.
    direct    for CPU. Inside a loop, XLA's CPU backend is fast only for convolutions written in its canonical layout,
              and those of the native gradients are not: the kernel's takes 11 s there instead of 42 ms. Here both
              gradients are written in it, in a loop over small chunks of images.
    winograd  for CPU, twice as fast again where channels are many: see `supermask.winograd`.

Values and gradients are the same but for rounding. `choose_method` is the one place that chooses.
"""

from collections.abc import Mapping
from functools import partial
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from supermask.winograd import (
    TILE,
    TILES_A_CHUNK,
    Ending,
    chunk_size,
    pad_to_multiples,
    rectify,
    rectify_gradient,
    shrinking,
    winograd_layer,
)

Method = Literal["native", "direct", "winograd"]

DIRECT_IMAGES_A_CHUNK = 2


class _Layer(Protocol):
    def __call__(self, x: Array, kernel: Array, bias: Array, *, ending: Ending) -> Array: ...


def conv_relu(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "3 3 channels features"],
    bias: Float[Array, " features"],
    *,
    pool: bool,
    method: Literal["auto"] | Method = "auto",
) -> Float[Array, "batch h w features"]:
    """relu(conv(x, kernel) + bias), 3×3 'same' with stride 1; then, if `pool`, the maxima of 2×2 windows.

    Pooling gives h = height // 2 and w = width // 2: of odd sides it leaves out the last row or column. Of tied maxima
    the first, row by row, gets the gradient; the ReLU's at 0 is 0. 'auto' is what `choose_method` says for JAX's
    default backend. Temporary memory is small beside the result's own; to bound that, pass many images in parts.

    Raises ValueError where the method is unknown or doesn't serve the dtype (Winograd's loses too much below float32),
    where shapes don't fit each other or are empty, and where images to pool are less than 2 high or wide.
    """
    _check(x, kernel, bias, pool, method)
    if method == "auto":
        method = choose_method(x.shape, kernel.shape[3], x.dtype, jax.default_backend())
    # Inside shard_map, some of the three may vary over its devices and others not, which carries of loops can't mix.
    zero = jnp.zeros_like(x, shape=()) + jnp.zeros_like(kernel, shape=()) + jnp.zeros_like(bias, shape=())
    return _LAYERS[method](x + zero, kernel + zero, bias + zero, ending="pool" if pool else "relu")


def choose_method(shape: tuple[int, ...], features: int, dtype: jnp.dtype, platform: str) -> Method:
    """Return the fastest method, as measured, for inputs (batch, height, width, channels) on 'cpu', 'gpu' or 'tpu'.

    On CPU that is Winograd's, if there are 32 channels and features or more, enough images to fill a chunk, and sides
    that don't need much padding to multiples of 4; else the direct one.
    """
    if platform != "cpu":
        return "native"
    return "winograd" if winograd_pays(shape, features, dtype, least=32) else "direct"


def winograd_pays(shape: tuple[int, ...], features: int, dtype: jnp.dtype, *, least: int) -> bool:
    """Return whether Winograd's method is the fastest on CPU. `least`: the fewest channels and features that pay."""
    batch, height, width, channels = shape
    tiles_an_image = -(-height // TILE) * -(-width // TILE)
    return (
        min(channels, features) >= least
        and batch * tiles_an_image >= TILES_A_CHUNK
        and tiles_an_image * TILE**2 <= 1.5 * height * width
        and _precise_enough_for_winograd(dtype)
    )


def _precise_enough_for_winograd(dtype: jnp.dtype) -> bool:
    return dtype.itemsize >= 4


def _check(x: Array, kernel: Array, bias: Array, pool: bool, method: str) -> None:
    channels, features = x.shape[-1], kernel.shape[-1]
    if x.ndim != 4:
        raise ValueError(f"x has shape {x.shape}; allowed: (batch, height, width, channels)")
    if kernel.shape != (3, 3, channels, features):
        raise ValueError(f"kernel has shape {kernel.shape}; allowed for this x: (3, 3, {channels}, features)")
    if bias.shape != (features,):
        raise ValueError(f"bias has shape {bias.shape}; allowed for this kernel: ({features},)")
    if 0 in (*x.shape, features):
        raise ValueError(f"x has shape {x.shape} for {features} features; allowed: 1 or more of everything")
    if pool and min(x.shape[1:3]) < 2:
        raise ValueError(f"x has shape {x.shape}; allowed with pool: a height and width of 2 or more")
    if method not in ("auto", *_LAYERS):
        raise ValueError(f"method is {method!r}; allowed: {', '.join(map(repr, ('auto', *_LAYERS)))}")
    if method == "winograd" and not _precise_enough_for_winograd(x.dtype):
        raise ValueError(f"method is 'winograd' for {x.dtype}; allowed for it: 'auto', 'native', 'direct'")


def _convolve(x: Array, kernel: Array) -> Array:
    """Stride 1 and a padding of 1 all round: 'same' for 3×3 kernels. In the layout that XLA calls canonical."""
    return lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _native(x: Array, kernel: Array, bias: Array, *, ending: Ending) -> Array:
    z = _convolve(x, kernel)
    if ending == "pool":
        _, height, width, _ = z.shape
        z = z[:, : height // 2 * 2, : width // 2 * 2]
    return _rectified(z, bias, ending)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _rectified(z: Array, bias: Array, ending: Ending) -> Array:
    return rectify(z, bias, ending=ending)[0]


def _rectified_forward(z: Array, bias: Array, ending: Ending) -> tuple[Array, Array]:
    return rectify(z, bias, ending=ending)


def _rectified_backward(ending: Ending, chosen: Array, dy: Array) -> tuple[Array, Array]:
    dz = rectify_gradient(dy, chosen, ending=ending)
    return dz, dz.sum((0, 1, 2))


_rectified.defvjp(_rectified_forward, _rectified_backward)


def _direct(x: Array, kernel: Array, bias: Array, *, ending: Ending) -> Array:
    batch, height, width, _ = x.shape
    step = shrinking(ending)
    images = chunk_size(batch, DIRECT_IMAGES_A_CHUNK)
    y = _direct_layer(pad_to_multiples(x, (images, step, step, 1)), kernel, bias, images, ending)
    return y[:batch, : height // step, : width // step]


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _direct_layer(x: Array, kernel: Array, bias: Array, images: int, ending: Ending) -> Array:
    """Return the layer for a batch of equal chunks of `images`, and even sides if `pool`."""
    return _direct_forward(x, kernel, bias, images, ending)[0]


_Saved = tuple[Array, Array, Array]  # x, the kernel, and what `rectify_gradient` needs


def _direct_forward(x: Array, kernel: Array, bias: Array, images: int, ending: Ending) -> tuple[Array, _Saved]:
    batch, height, width, _ = x.shape

    def chunk(index: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        y, chosen = carry
        first = index * images
        z = _convolve(lax.dynamic_slice_in_dim(x, first, images), kernel)
        y_chunk, chosen_chunk = rectify(z, bias, ending=ending)
        return (
            lax.dynamic_update_slice_in_dim(y, y_chunk, first, 0),
            lax.dynamic_update_slice_in_dim(chosen, chosen_chunk, first, 0),
        )

    step = shrinking(ending)
    shape = (batch, height // step, width // step, kernel.shape[3])
    kind = jnp.int8 if ending == "pool" else x.dtype
    empty = (jnp.zeros_like(x, shape=shape), jnp.zeros_like(x, shape=shape, dtype=kind))
    y, chosen = lax.fori_loop(0, batch // images, chunk, empty)
    return y, (x, kernel, chosen if ending == "pool" else y)


def _direct_backward(images: int, ending: Ending, saved: _Saved, dy: Array) -> tuple[Array, Array, Array]:
    x, kernel, chosen = saved
    turned = kernel[::-1, ::-1].swapaxes(2, 3)

    def chunk(index: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        dx, d_kernel, d_bias = carry
        first = index * images
        read = partial(lax.dynamic_slice_in_dim, start_index=first, slice_size=images)
        dz = rectify_gradient(read(dy), read(chosen), ending=ending)
        # Channels as a batch of images, images as channels, and the gradient as a kernel as large as the images.
        d_kernel = d_kernel + _convolve(read(x).transpose(3, 1, 2, 0), dz.transpose(1, 2, 0, 3))
        dx = lax.dynamic_update_slice_in_dim(dx, _convolve(dz, turned), first, 0)
        return dx, d_kernel, d_bias + dz.sum((0, 1, 2))

    _, _, channels, features = kernel.shape
    empty = (
        jnp.zeros_like(x),
        jnp.zeros_like(x, shape=(channels, 3, 3, features)),
        jnp.zeros_like(x, shape=(features,)),
    )
    dx, d_kernel, d_bias = lax.fori_loop(0, x.shape[0] // images, chunk, empty)
    return dx, d_kernel.transpose(1, 2, 0, 3), d_bias


_direct_layer.defvjp(_direct_forward, _direct_backward)

_LAYERS: Mapping[Method, _Layer] = {"native": _native, "direct": _direct, "winograd": winograd_layer}
