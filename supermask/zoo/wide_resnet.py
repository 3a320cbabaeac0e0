"""Wide residual networks: WRN-28-2, on which DSR was shown, and WRN-22-2, on which RigL was.

Zagoruyko & Komodakis 2016 (arXiv 1605.07146): pre-activation blocks of two 3×3 convolutions, without dropout.
"""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from supermask.model import Network
from supermask.zoo.layers import Conv, batch_norm, read_out


class Block(nn.Module):
    """Batch norm, ReLU and a 3×3 convolution, twice; where channels differ, a 1×1 one in the shortcut."""

    features: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], training: bool) -> Float[Array, "batch h w c"]:
        """Return the block's output."""
        active = nn.relu(batch_norm("norm1", training)(x))
        y = Conv(self.features, stride=self.stride, name="conv1")(active)
        y = Conv(self.features, name="conv2")(nn.relu(batch_norm("norm2", training)(y)))
        if x.shape[-1] != self.features:
            x = Conv(self.features, side=1, stride=self.stride, name="shortcut")(active)
        return x + y


class WideResNet(Network):
    """WRN-depth-width: three stages of 16, 32 and 64 channels times `width`, (depth - 4) / 6 blocks each.

    The first convolution and the down-sampling ones stay dense, as in Mostafa & Wang 2019.
    """

    depth: int
    width: int
    classes: int = 10

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions."""
        return True

    def prunes(self, path: str, leaf: Any) -> bool:
        """Return whether a leaf is prunable: the kernels of blocks and of the output are."""
        return path.endswith("/kernel") and "shortcut" not in path and not path.startswith("stem/")

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], training: bool = False
    ) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1]. Raises ValueError for a depth that is not 6·blocks + 4."""
        blocks, rest = divmod(self.depth - 4, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth is {self.depth}; allowed: 10, 16, 22, 28 and so on")
        x = Conv(16, name="stem")(x)
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                x = Block(16 * self.width * 2**stage, stride, name=f"block{stage * blocks + block + 1}")(x, training)
        return read_out(nn.relu(batch_norm("last_norm", training)(x)), self.classes)
