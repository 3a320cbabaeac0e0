"""Checks of arrays that come from elsewhere: names, types and shapes, before anything is computed with them.

All raise KeyError for an array that is missing, and ValueError for one that is not as it should be.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from supermask.analysis.kinds.metrics import CURVES
from supermask.analysis.store.identity import Description
from supermask.datasets import DATASETS
from supermask.networks import Params, kernels_of, shapes_of
from supermask.zoo import BUILT_IN, built_in

Arrays = Mapping[str, np.ndarray]


def params_of(description: Description) -> Params | None:
    """Return the shapes of a described network's parameters; None if they cannot be told.

    A description names a network of the toolkit's, and a data set that is published or has its shape beside its name.
    """
    if description["network"] not in BUILT_IN or (images := images_of(description)) is None:
        return None
    image_shape, classes = images
    return shapes_of(built_in(description["network"], classes), image_shape)


def images_of(description: Description) -> tuple[tuple[int, int, int], int] | None:
    """Return the shape of images, and the number of classes, of a described data set; None if they cannot be told."""
    if "image_shape" in description and "classes" in description:
        height, width, channels = description["image_shape"]
        return (height, width, channels), description["classes"]
    published = DATASETS.get(description["dataset"])
    return None if published is None else (published.image_shape, published.classes)


def check_array(arrays: Arrays, name: str, kinds: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return the array of that name, of one of NumPy's kinds of types (`f`, `iu`) and of that shape."""
    found = arrays[name]
    fits = len(found.shape) == len(shape) and all(
        size in (None, own) for own, size in zip(found.shape, shape, strict=True)
    )
    if found.dtype.kind not in kinds or not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"array {name} is {found.dtype} of shape {found.shape}; it should be of shape ({sizes})")
    return found


def check_curves(arrays: Arrays, names: Iterable[str] = CURVES) -> int:
    """Check curves over the evaluated steps; return their common length. Accuracies are fractions, losses anything."""
    length = check_array(arrays, "curve.evaluated_at", "iu", (None,)).size
    for name in names:
        curve = check_array(arrays, f"curve.{name}", "iuf", (length,))
        if name.endswith("accuracy") and not ((curve >= 0) & (curve <= 1)).all():
            raise ValueError(f"array curve.{name} has values outside 0 to 1")
    return length


def check_mask(arrays: Arrays, name: str, size: int | None) -> int:
    """Check a mask stored as bits, of `size` weights if that is known. Returns the number that it keeps."""
    bits = check_array(arrays, name, "u", (None if size is None else -(-size // 8),))
    if bits.dtype != np.uint8:
        raise ValueError(f"array {name} is {bits.dtype}; it should be uint8")
    return int(np.bitwise_count(bits).sum())


def check_layers(arrays: Arrays, prefix: str, params: Params | None = None) -> list[str]:
    """Return the layers that have an array of that prefix.

    Raises ValueError if there is none, or if parameters are given whose kernels are of other layers.
    """
    layers = sorted(name.removeprefix(prefix) for name in arrays if name.startswith(prefix))
    if not layers:
        raise ValueError(f"no array is named {prefix}…")
    if params is not None and layers != sorted(kernels_of(params)):
        raise ValueError("its arrays have other layers than its network")
    return layers
