"""Parameters and masks as files for others: plain arrays by name, laid out as Flax, Keras or PyTorch have them.

    sm.export("ticket.npz", params, masks, layout="torch")

Flax and Keras agree: a dense kernel is (inputs, outputs), a convolution's (height, width, inputs, outputs), and maps
are flattened with their channels last. PyTorch has (outputs, inputs) and (outputs, inputs, height, width), and flattens
channels first. An array is called by its path, with dots: `hidden1.kernel`, in PyTorch's layout `hidden1.weight`. Its
mask is called `mask.` and that name.
"""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from safetensors.numpy import save

from supermask.mask_files import check_not_reserved
from supermask.trees import MaskTree, masked_leaves, present
from supermask.writing import write_whole

LAYOUTS = ("flax", "keras", "torch")
SUFFIXES = (".npz", ".safetensors")

Arrays = dict[str, np.ndarray]
Maps = Mapping[str, tuple[int, int, int]]
"""Of a dense layer that reads flattened maps: their (height, width, channels)."""

_KERNELS = ("kernel", "w")
"""What Flax and Haiku call the arrays that have their outputs last."""

_TORCH = {
    **dict.fromkeys((*_KERNELS, "scale"), "weight"),
    "b": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def export(
    path: str | Path,
    params: PyTree,
    masks: MaskTree = None,
    *,
    layout: str = "flax",
    maps: Maps | None = None,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write parameters, and masks if given, to a `.npz` or `.safetensors` file: whole, or not at all.

    Weights are written as they are: `sm.apply_masks` sets pruned ones to 0. Types that NumPy lacks, such as bfloat16,
    become float32. `maps` names the dense layers that read flattened maps, for the layout 'torch'; `about` goes into a
    safetensors file's metadata.

    Raises:
        ValueError: an argument is not allowed, or two arrays would have the same name.
        OSError: the file cannot be written.
    """
    check_path(path)
    arrays = laid_out(params, masks, layout, maps)
    if Path(path).suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        content = buffer.getvalue()
    else:
        check_not_reserved(arrays)
        content = save(arrays, {"layout": layout, **_texts(about or {})})
    write_whole(Path(path), content)


def _texts(about: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in about.items():
        if not isinstance(name, str) or not isinstance(text, str) or name == "layout":
            raise ValueError(f"about has {name!r}: {text!r}; allowed: texts by names other than 'layout'")
    return about


def check_path(path: str | Path) -> None:
    """Raise ValueError for a file that is neither `.npz` nor `.safetensors`."""
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f"path is {str(path)!r}; allowed: a name that ends in {' or '.join(SUFFIXES)}")


def laid_out(params: PyTree, masks: MaskTree = None, layout: str = "flax", maps: Maps | None = None) -> Arrays:
    """Return what `export` writes: contiguous arrays by name. Raises ValueError as `export` does."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; allowed: {', '.join(LAYOUTS)}")
    leaves = present(params)
    own = {} if masks is None else masked_leaves(params, masks)[1]
    rows = _rows(leaves, layout, maps or {})
    arrays: Arrays = {}
    for path, leaf in leaves.items():
        name = _name(path, layout)
        for key, value in ((name, leaf), (f"mask.{name}", own.get(path))):
            if value is None:
                continue
            if key in arrays:
                raise ValueError(f"params has two arrays that would be called {key!r} in the layout {layout!r}")
            arrays[key] = np.ascontiguousarray(_placed(_array(path, value), path, layout, rows.get(path)))
    return arrays


def _array(path: str, leaf: Any) -> np.ndarray:
    if not hasattr(leaf, "dtype"):
        raise ValueError(f"params has a {type(leaf).__name__} at {path}; allowed: arrays")
    array = np.asarray(leaf)
    return array.astype(np.float32) if array.dtype.kind == "V" or jnp.bfloat16 == array.dtype else array


def _name(path: str, layout: str) -> str:
    *modules, leaf = path.split("/")
    return ".".join([*modules, _TORCH.get(leaf, leaf) if layout == "torch" else leaf])


def _is_kernel(path: str) -> bool:
    return path.rpartition("/")[2] in _KERNELS


def _rows(leaves: Mapping[str, Any], layout: str, maps: Maps) -> dict[str, np.ndarray]:
    """Return the order of PyTorch's inputs, by the path of a kernel that reads maps."""
    found = {}
    for layer, shape in maps.items():
        paths = [path for path in leaves if _is_kernel(path) and path.rpartition("/")[0] == layer]
        kernel = leaves[paths[0]] if paths else None
        if len(shape) != 3:
            raise ValueError(f"maps gives {layer!r} maps of shape {shape}; allowed: (height, width, channels)")
        if kernel is None or kernel.ndim != 2 or kernel.shape[0] != math.prod(shape):
            size = "no dense kernel" if kernel is None else f"a kernel of shape {kernel.shape}"
            raise ValueError(f"maps gives {layer!r} maps of shape {shape}, but it has {size}; allowed: their product")
        if layout == "torch":
            found[paths[0]] = np.arange(math.prod(shape)).reshape(shape).transpose(2, 0, 1).ravel()
    return found


def _placed(array: np.ndarray, path: str, layout: str, rows: np.ndarray | None) -> np.ndarray:
    """Return an array of Flax in a layout: PyTorch's kernels have their outputs and inputs first."""
    if layout != "torch" or not _is_kernel(path) or array.ndim < 2:
        return array
    if rows is not None:
        array = array[rows]
    return array.transpose(array.ndim - 1, array.ndim - 2, *range(array.ndim - 2))
