"""MobileNetV1 for small images: depthwise 3×3 and pointwise 1×1 convolutions in turn.

Howard et al. 2017 (arXiv 1704.04861), table 1, with a first convolution and a first block of stride 1.
"""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from supermask.model import Network
from supermask.zoo.layers import Conv, batch_norm, read_out

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
"""Channels and stride of each block."""


class Block(nn.Module):
    """A depthwise 3×3 convolution and a pointwise one, each with batch norm and ReLU."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], training: bool) -> Float[Array, "batch h w c"]:
        """Return the block's output."""
        channels = x.shape[-1]
        x = Conv(channels, stride=self.stride, groups=channels, name="depthwise")(x)
        x = nn.relu(batch_norm("norm1", training)(x))
        x = Conv(self.features, side=1, name="pointwise")(x)
        return nn.relu(batch_norm("norm2", training)(x))


class MobileNet(Network):
    """MobileNetV1; `width` multiplies the channels of every layer.

    The first convolution and the depthwise ones, which have few weights, stay dense, as in Evci et al. 2020;
    `dense_depthwise` False prunes the latter, too.
    """

    width: float = 1.0
    classes: int = 10
    dense_depthwise: bool = True

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions."""
        return True

    def prunes(self, path: str, leaf: Any) -> bool:
        """Return whether a leaf is prunable: the kernels of pointwise convolutions and of the output are."""
        kept = path.startswith("stem/") or (self.dense_depthwise and "depthwise" in path)
        return path.endswith("/kernel") and not kept

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], training: bool = False
    ) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1]. Raises ValueError for a width that leaves a layer no channel."""
        if int(32 * self.width) < 1:
            raise ValueError(f"width is {self.width}; allowed: 1/32 or more")
        x = nn.relu(batch_norm("stem_norm", training)(Conv(int(32 * self.width), name="stem")(x)))
        for index, (features, stride) in enumerate(BLOCKS, 1):
            x = Block(int(features * self.width), stride, name=f"block{index}")(x, training)
        return read_out(x, self.classes)
