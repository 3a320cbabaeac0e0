"""Residual networks for small images: ResNet-20, -32, -56 and ResNet-18.

He et al. 2016 (arXiv 1512.03385), sections 3.3 and 4.2, with a 1×1 convolution and batch norm in the shortcuts between
stages, as in Frankle & Carbin 2019, figure 2, whose 'ResNet-18' is ResNet-20 here.
"""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from supermask.model import Network
from supermask.zoo.layers import Conv, batch_norm, read_out


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, added to the input; a projection of it where shapes differ."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], training: bool) -> Float[Array, "batch h w c"]:
        """Return the block's output."""
        y = Conv(self.features, stride=self.stride, name="conv1")(x)
        y = nn.relu(batch_norm("norm1", training)(y))
        y = batch_norm("norm2", training)(Conv(self.features, name="conv2")(y))
        if self.stride > 1 or x.shape[-1] != self.features:
            x = Conv(self.features, side=1, stride=self.stride, name="shortcut")(x)
            x = batch_norm("shortcut_norm", training)(x)
        return nn.relu(x + y)


class ResNet(Network):
    """Stages of blocks: stages lists each one's channels and number of blocks; the side halves between stages.

    Shortcuts and output stay dense, as in Frankle & Carbin 2019, appendix I.
    """

    stages: tuple[tuple[int, int], ...]
    classes: int = 10

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions."""
        return True

    def prunes(self, path: str, leaf: Any) -> bool:
        """Return whether a leaf is prunable: the kernels of 3×3 convolutions are."""
        return path.endswith("/kernel") and "shortcut" not in path and not path.startswith("output/")

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], training: bool = False
    ) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1], in evaluation or in training."""
        x = nn.relu(batch_norm("stem_norm", training)(Conv(self.stages[0][0], name="stem")(x)))
        index = 0
        for stage, (features, blocks) in enumerate(self.stages):
            for block in range(blocks):
                index += 1
                stride = 2 if stage and not block else 1
                x = Block(features, stride, name=f"block{index}")(x, training)
        return read_out(x, self.classes)
