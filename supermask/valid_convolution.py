"""LeNet-5's convolution layer: k×k 'valid', bias, ReLU and 2×2 max pooling, as one matrix product.

Every output position's k×k patch is laid out as a row; the rows times the kernel are the convolution. So both gradients
are matrix products as well, which are fast everywhere: XLA's CPU backend is slow at a convolution's gradients in loops
(see `supermask.convolution`), and Winograd's transforms there are for 3×3 kernels alone.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def valid_conv_relu_pool(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array, "side side channels features"],
    bias: Float[Array, " features"],
) -> Float[Array, "batch h w features"]:
    """max over 2×2 windows of relu(conv(x, kernel) + bias), stride 1 and no padding; an odd last row or column is left.

    Raises ValueError where less than a window of the convolution's output is there.
    """
    batch, height, width, channels = x.shape
    side, features = kernel.shape[0], kernel.shape[-1]
    high, wide = (height - side + 1) // 2 * 2, (width - side + 1) // 2 * 2
    if high < 2 or wide < 2:
        raise ValueError(
            f"x has shape {x.shape}; allowed for {side}×{side} and pooling: {side + 1} or more of each side"
        )
    shifted = [x[:, i : i + high, j : j + wide] for i in range(side) for j in range(side)]
    patches = jnp.concatenate(shifted, axis=-1).reshape(-1, side * side * channels)
    z = (patches @ kernel.reshape(-1, features)).reshape(batch, high // 2, 2, wide // 2, 2, features)
    # The ReLU after the pooling: the same, with a quarter of the work.
    return jnp.maximum(z.max(axis=(2, 4)) + bias[None, None, None, :], 0.0)
