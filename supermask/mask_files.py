"""Masks as files: safetensors that hold a bit a weight.

A file has a tensor of bytes (U8) for each mask, named by the leaf's path: the mask's values in C order, eight a byte,
the first in the highest bit, filled up with zeros. The safetensors header's `__metadata__` has `format`, which is
`FORMAT`, and `shapes`, a JSON object from path to the mask's shape. Any reader of safetensors can read it; one of a few
lines in NumPy alone is in docs/pruning.md.
"""

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, PyTree, UInt8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from supermask.bits import pack, unpack
from supermask.reading import open_regular
from supermask.trees import MaskTree, leaves_of, present, pruned_leaves
from supermask.writing import write_whole

FORMAT = "supermask masks 1"


def save_masks(path: str | Path, params: PyTree, masks: MaskTree) -> None:
    """Write the masks of those parameters to a file: whole, or not at all.

    Raises:
        ValueError: the masks do not fit the parameters, or there are none.
        OSError: the file cannot be written.
    """
    _, own = pruned_leaves(params, masks)
    arrays = {name: np.asarray(mask) for name, mask in own.items()}
    check_not_reserved(arrays)
    packed = {name: pack(mask) for name, mask in arrays.items()}
    shapes = {name: list(mask.shape) for name, mask in arrays.items()}
    write_whole(Path(path), save(packed, {"format": FORMAT, "shapes": json.dumps(shapes)}))


def check_not_reserved(names: Container[str]) -> None:
    """Raise ValueError if one of the names of arrays is that of a safetensors file's own entry."""
    if "__metadata__" in names:
        raise ValueError(
            "a leaf is named __metadata__, which safetensors files have for their own; allowed: other names"
        )


def load_masks(path: str | Path, params: PyTree) -> MaskTree:
    """Read masks from a file, as a pytree of the parameters' structure.

    Raises:
        ValueError: the file is no file of masks, or its masks are of other layers or shapes than the parameters'.
        OSError: the file cannot be read.
    """
    by_path = read_masks(path)
    known = present(params)
    if foreign := sorted(set(by_path) - set(known)):
        raise ValueError(f"file {str(path)!r} has a mask of {foreign[0]}; the parameters have {', '.join(known)}")
    leaves = leaves_of(params, lambda name, leaf: name in by_path)
    for name, mask in by_path.items():
        if (own := leaves.all[name].shape) != mask.shape:
            raise ValueError(f"file {str(path)!r} has a mask of shape {mask.shape} for {name}; the layer's is {own}")
    return leaves.as_masks(by_path)


def read_masks(path: str | Path) -> Mapping[str, Bool[np.ndarray, "..."]]:
    """Read masks from a file, by path.

    Raises:
        ValueError: the file is no file of masks.
        OSError: the file cannot be read.
    """
    open_regular(Path(path)).close()  # safetensors' own words for a missing file do not name it
    try:
        with safe_open(str(path), "np") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {metadata.get('format')!r}; allowed: {FORMAT!r}")
            shapes = json.loads(metadata["shapes"])
            return {name: unpack(_packed(file.get_tensor(name)), tuple(shape)) for name, shape in shapes.items()}
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"file {str(path)!r} is no file of masks, or damaged: {error}") from None


def _packed(bits: Any) -> UInt8[np.ndarray, "bytes"]:
    if bits.dtype != np.uint8 or bits.ndim != 1:
        raise ValueError(f"it has {bits.dtype} of shape {bits.shape} for a mask's bits")
    return bits
