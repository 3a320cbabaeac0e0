"""Augmentation of training images, drawn anew at every step: a shift, a mirror image, and a cut-out.

Cut-out: DeVries & Taylor 2017 (arXiv 1708.04552).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, Key, Num

from supermask.checks import check_flag, check_whole
from supermask.keys import Purpose


@dataclass(frozen=True)
class Augmentation:
    """Each image is padded by `pad` black pixels on all sides and cropped to its size at a random place.

    With `flip` it is mirrored left to right with probability one half: for photographs, not for digits. Then a square
    of `cut_out` pixels a side is blanked, around a random pixel: a part of it may lie outside.

    Raises ValueError for a padding or a side below 0, and for a `flip` that is neither True nor False.
    """

    pad: int = 4
    flip: bool = True
    cut_out: int = 0

    def __post_init__(self) -> None:
        for name in ("pad", "cut_out"):
            object.__setattr__(self, name, check_whole(name, getattr(self, name), 0))
        check_flag("flip", self.flip)


def augmented(
    key: Key[Array, ""],
    images: Num[Array, "batch height width channels"],
    how: Augmentation,
    blank: tuple[float, ...] = (0.0,),
) -> Num[Array, "batch height width channels"]:
    """Return the images, each changed by its own draw. `blank`: what a cut-out shows, by channel, or in all of them."""
    batch, pad = images.shape[0], how.pad
    key = jax.random.fold_in(key, int(Purpose.AUGMENTATION))
    places = jax.random.randint(jax.random.fold_in(key, 0), (batch, 2), 0, 2 * pad + 1, jnp.int32)
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def cropped(image: Array, place: Int32[Array, "2"]) -> Array:
        return lax.dynamic_slice(image, (place[0], place[1], 0), images.shape[1:])

    changed = jax.vmap(cropped)(padded, places)
    if how.flip:
        mirrored = jax.random.bernoulli(jax.random.fold_in(key, 1), jnp.float32(0.5), (batch, 1, 1, 1))
        changed = jnp.where(mirrored, changed[:, :, ::-1], changed)
    if how.cut_out:
        cut = _squares(jax.random.fold_in(key, 2), images, how.cut_out)
        changed = jnp.where(cut, jnp.asarray(blank, changed.dtype).reshape(1, 1, 1, -1), changed)
    return changed


def _squares(
    key: Key[Array, ""], images: Num[Array, "batch height width channels"], side: int
) -> Bool[Array, "batch height width 1"]:
    """Return a square for each image, around a random pixel."""
    batch, *lengths, _ = images.shape
    sides = []
    for axis, length in enumerate(lengths):
        middle = jax.random.randint(jax.random.fold_in(key, axis), (batch, 1), 0, length, jnp.int32)
        offset = jnp.arange(length, dtype=jnp.int32)[None] - middle + side // 2
        sides.append((offset >= 0) & (offset < side))
    return (sides[0][:, :, None] & sides[1][:, None, :])[..., None]
