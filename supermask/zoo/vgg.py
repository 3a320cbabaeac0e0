"""VGG-11, -16 and -19 with batch norm and one dense layer, for small images.

Simonyan & Zisserman 2015 (arXiv 1409.1556), as in Frankle & Carbin 2019, figure 2: the mean of each channel goes into
the output layer.
"""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from supermask.model import Network
from supermask.zoo.layers import Conv, batch_norm, halved, read_out


class VGG(Network):
    """Stages of 3×3 convolutions with bias, batch norm and ReLU; 2×2 max pooling between stages.

    stages: each one's channels and number of convolutions. The output stays dense: Frankle & Carbin 2019, figure 2.
    """

    stages: tuple[tuple[int, int], ...]
    classes: int = 10

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions."""
        return True

    def prunes(self, path: str, leaf: Any) -> bool:
        """Return whether a leaf is prunable: the kernels of convolutions are."""
        return path.endswith("/kernel") and not path.startswith("output/")

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], training: bool = False
    ) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1], in evaluation or in training."""
        index = 0
        for stage, (features, convolutions) in enumerate(self.stages):
            x = halved(x) if stage else x
            for _ in range(convolutions):
                index += 1
                x = Conv(features, bias=True, name=f"conv{index}")(x)
                x = nn.relu(batch_norm(f"norm{index}", training)(x))
        return read_out(x, self.classes)
