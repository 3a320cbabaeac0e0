"""Files of trainings in rounds of pruning: one for each, named by its id, written whole or not at all.

A file is safetensors: a tensor `final/PATH` for each leaf of the final parameters, and `mask/PATH` for each mask, a bit
a weight, as in files of masks. Its `__metadata__` has the `format`, and in JSON the masks' `shapes` and what it is
`about`: the description that its id is the hash of, and the metrics.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from supermask.bits import pack, unpack
from supermask.reading import open_regular
from supermask.short import short
from supermask.writing import write_whole

FORMAT = "supermask training 1"


@short
@dataclass(frozen=True)
class Stored:
    """A training's file: final leaves and masks by path, and a description as JSON."""

    final: Mapping[str, np.ndarray]
    masks: Mapping[str, Bool[np.ndarray, "..."]]
    about: Mapping[str, Any]


def id_of(description: Mapping[str, Any]) -> str:
    """Return the first 32 hex digits of the SHA-256 of a description's JSON."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def digest_of(leaves: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of arrays by path: names, types, shapes and bits."""
    digest = hashlib.sha256()
    for path in sorted(leaves):
        array = np.asarray(leaves[path])
        digest.update(f"{path}\0{array.dtype}\0{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def path_of(folder: Path, training: str) -> Path:
    """Return the path of the training with that id."""
    return folder / f"{training}.safetensors"


def check_stored(path: str, leaf: np.ndarray) -> None:
    """Raise ValueError for a leaf whose numbers the files of trainings have no type for."""
    try:
        save({path: np.zeros(0, leaf.dtype)})
    except (SafetensorError, KeyError):
        types = "floating-point numbers of 16 to 64 bits, whole numbers of 8 to 64, and truth values"
        raise ValueError(f"initial parameters have {path} of {leaf.dtype}; allowed: {types}") from None


def write(folder: Path, training: str, stored: Stored) -> None:
    """Write a training's file. Raises OSError if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"final/{path}": np.array(leaf, order="C", copy=None) for path, leaf in stored.final.items()}
    tensors |= {f"mask/{path}": pack(mask) for path, mask in stored.masks.items()}
    shapes = {path: list(mask.shape) for path, mask in stored.masks.items()}
    metadata = {"format": FORMAT, "shapes": json.dumps(shapes), "about": json.dumps(stored.about)}
    write_whole(path_of(folder, training), save(tensors, metadata))


def read(folder: Path, training: str) -> Stored | None:
    """Read a training's file; None where there is none.

    Raises:
        ValueError: the file is damaged, or of something else.
        OSError: the file cannot be read.
    """
    file = path_of(folder, training)
    try:
        open_regular(file).close()  # safetensors' own words for a file that cannot be read do not name it
    except FileNotFoundError:
        return None
    try:
        with safe_open(str(file), "np") as content:
            metadata = content.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {metadata.get('format')!r}")
            shapes, about = json.loads(metadata["shapes"]), json.loads(metadata["about"])
            names = [name.removeprefix("final/") for name in content.keys() if name.startswith("final/")]  # noqa: SIM118
            final = {name: content.get_tensor(f"final/{name}") for name in names}
            masks = {name: unpack(content.get_tensor(f"mask/{name}"), tuple(shape)) for name, shape in shapes.items()}
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        allowed = f"allowed: a file of format {FORMAT!r}; move it away, and the training is done again"
        raise ValueError(f"file {str(file)!r} cannot be read as a training: {error}; {allowed}") from None
    return Stored(final, masks, about)
