"""Layers of the deeper networks: convolutions without bias, batch norm, and pooling, fast on CPU and accelerators."""

from flax import linen as nn
from jaxtyping import Array, Float

from supermask.any_convolution import convolve

MOMENTUM, EPSILON = 0.9, 1e-5
"""Of batch norm: the share of the old in a running mean, and what is added to a variance."""

he_normal = nn.initializers.he_normal()


class Conv(nn.Module):
    """A convolution with as many zeros on each side as keep the size at stride 1. He-normal kernel (He et al. 2015)."""

    features: int
    side: int = 3
    stride: int = 1
    groups: int = 1
    bias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch h w features"]:
        """Return the convolution, with a bias if asked for."""
        shape = (self.side, self.side, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", he_normal, shape, x.dtype)
        y = convolve(x, kernel, stride=self.stride, padding=self.side // 2, groups=self.groups)
        if not self.bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)[None, None, None, :]


def batch_norm(name: str, training: bool) -> nn.BatchNorm:
    """Return batch norm by the batch's own statistics in training, and by the running ones outside of it."""
    return nn.BatchNorm(use_running_average=not training, momentum=MOMENTUM, epsilon=EPSILON, name=name)


def halved(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch _ _ channels"]:
    """Return the maxima of 2×2 windows; an odd last row or column is left out, and a side of 1 stays."""
    batch, height, width, channels = x.shape
    high, wide = (2 if side > 1 else 1 for side in (height, width))
    x = x[:, : height // high * high, : width // wide * wide]
    return x.reshape(batch, height // high, high, width // wide, wide, channels).max((2, 4))


def read_out(x: Float[Array, "batch height width channels"], classes: int) -> Float[Array, "batch classes"]:
    """Return the logits: a dense layer, 'output', on each channel's mean."""
    return nn.Dense(classes, kernel_init=he_normal, name="output")(x.mean((1, 2)))
