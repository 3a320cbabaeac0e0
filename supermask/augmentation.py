"""Augmentation of training images: a shift by padding and cropping, and a mirror image, drawn anew at every step."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Int32, Key, Num

from supermask.checks import check_whole
from supermask.keys import Purpose


@dataclass(frozen=True)
class Augmentation:
    """Each image is padded by `pad` black pixels on all sides and cropped to its size at a random place.

    With `flip` it is mirrored left to right with probability one half: for photographs, not for digits.

    Raises ValueError for a padding below 0.
    """

    pad: int = 4
    flip: bool = True

    def __post_init__(self) -> None:
        check_whole("pad", self.pad, 0)


def augmented(
    key: Key[Array, ""], images: Num[Array, "batch height width channels"], how: Augmentation
) -> Num[Array, "batch height width channels"]:
    """Return the images, each shifted and perhaps mirrored by its own draw."""
    batch, pad = images.shape[0], how.pad
    key = jax.random.fold_in(key, int(Purpose.AUGMENTATION))
    places = jax.random.randint(jax.random.fold_in(key, 0), (batch, 2), 0, 2 * pad + 1, jnp.int32)
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def cropped(image: Array, place: Int32[Array, "2"]) -> Array:
        return lax.dynamic_slice(image, (place[0], place[1], 0), images.shape[1:])

    shifted = jax.vmap(cropped)(padded, places)
    if not how.flip:
        return shifted
    mirrored = jax.random.bernoulli(jax.random.fold_in(key, 1), 0.5, (batch, 1, 1, 1))
    return jnp.where(mirrored, shifted[:, :, ::-1], shifted)
