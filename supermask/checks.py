"""Validation of the library's arguments: networks, masks, labels and seeds.

A check raises ValueError, with one line that states what is allowed, before long work starts. Without these checks,
wrong input gives plausible numbers: weights nested deeper than a layer would all stay dense, and a label beyond the
last class would read another class's logit.
"""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

SEEDS = 2**31
"""Seeds are 0 to this number - 1. JAX would map a larger seed to one of these, with the same weights."""


def check_seed(seed: Any) -> None:
    """Refuse a seed outside 0 to 2³¹ - 1, or one that is not an integer; traced seeds were checked earlier."""
    whole = isinstance(seed, int) or np.issubdtype(getattr(seed, "dtype", bool), np.integer)
    if isinstance(seed, bool) or not whole:
        raise ValueError(f"seed is {seed!r}; allowed: whole numbers from 0 to {SEEDS - 1:,}")
    if isinstance(seed, int | np.integer) and not 0 <= seed < SEEDS:
        raise ValueError(f"seed is {seed}; allowed: 0 to {SEEDS - 1:,}")


def check_whole(argument: str, value: Any, least: int) -> int:
    """Refuse a number of things that is no whole number, or below the least allowed; return it as Python's own."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{argument} is {value!r}; allowed: {least} or more, a whole number")
    return int(value)


def check_flag(argument: str, value: Any) -> None:
    """Refuse what is neither True nor False where that is asked."""
    if not isinstance(value, bool):
        raise ValueError(f"{argument} is {value!r}; allowed: True, False")


def check_key(key: Any) -> None:
    """Refuse what is no key of JAX's, such as a seed."""
    import jax  # here alone: files of masks and seeds are read without JAX

    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jax.numpy.issubdtype(dtype, jax.dtypes.prng_key)
    if not typed and (dtype != np.uint32 or key.shape[-1:] != (2,)):
        raise ValueError(f"key is {key!r}; allowed: jax.random.key(seed)")


def check_call(network: str, call: Callable[..., Any], told: Collection[str] = ()) -> None:
    """Refuse a network that is called with more than images; `told` are names of what tells it that it is trained."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty and p.name not in told]
    more = [p.name for p in needed if p.kind in (*positional, p.KEYWORD_ONLY)][1:]
    if more:
        raise ValueError(
            f"network {network} is called with {', '.join(more)} beside images; allowed: images alone: give what else "
            "it needs a default, or make it a field of the module"
        )


def check_fields(network: str, fields: Mapping[str, Any]) -> None:
    """Refuse a network with an unhashable field, such as an array: compiled programs are cached by network."""
    for name, value in fields.items():
        try:
            hash(value)
        except TypeError:
            raise ValueError(
                f"network {network} has a {type(value).__name__} as its field {name!r}, which cannot be hashed; "
                "allowed: numbers, names, functions and tuples of them"
            ) from None


def check_params(params: Mapping[str, Any]) -> None:
    """Refuse parameters that are not {layer: {name: array}}, or in which no layer has a leaf 'kernel' to prune."""
    for layer, leaves in params.items():
        if not isinstance(leaves, Mapping):
            raise ValueError(f"parameters have an array at {layer!r}; allowed: layers, each a dict of arrays")
        for name, leaf in leaves.items():
            if not hasattr(leaf, "shape"):
                raise ValueError(
                    f"parameters have more levels at {layer}/{name}; allowed: one level of layers, each a dict of "
                    "arrays, as supermask.networks.initialise draws them: a layer's name is its module's path"
                )
    if not any("kernel" in leaves for leaves in params.values()):
        raise ValueError(
            f"parameters have layers {', '.join(params) or 'none'}, and none has a leaf 'kernel'; "
            "allowed: at least one, for only kernels are pruned"
        )


def check_layers(argument: str, arrays: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Refuse a dict with unknown layers, or with arrays of other shapes than the known ones."""
    for layer, array in arrays.items():
        if not hasattr(array, "shape"):
            raise ValueError(f"{argument}[{layer!r}] is a {type(array).__name__}; allowed: an array a layer")
        if layer not in known:
            raise ValueError(f"{argument} has layer {layer!r}; allowed: {', '.join(known)}")
        if array.shape != known[layer].shape:
            raise ValueError(f"{argument}[{layer!r}] has shape {array.shape}; the layer's is {known[layer].shape}")


def check_masks(masks: Mapping[str, Bool[Any, "..."]], kernels: Mapping[str, Any]) -> None:
    """Refuse masks of unknown layers, of other shapes, or of numbers instead of booleans."""
    check_layers("masks", masks, kernels)
    for layer, mask in masks.items():
        if mask.dtype != bool:
            raise ValueError(f"masks[{layer!r}] is of {mask.dtype}; allowed: bool, True for a weight that is kept")


def check_names(argument: str, layers: Iterable[str], known: Iterable[str]) -> None:
    """Refuse unknown layers: a misspelt one would silently stay unchanged."""
    known = tuple(known)
    if foreign := [layer for layer in layers if layer not in known]:
        raise ValueError(f"{argument} has layer {foreign[0]!r}; allowed: {', '.join(known)}")


def check_counts(argument: str, counts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Refuse counts that omit a layer, name an unknown one, or exceed the layer's weights."""
    check_names(argument, counts, sizes)
    for layer, size in sizes.items():
        if layer not in counts:
            raise ValueError(f"{argument} leaves out layer {layer!r}; allowed: a number for each of {', '.join(sizes)}")
        if not 0 <= counts[layer] <= size:
            raise ValueError(f"{argument}[{layer!r}] is {counts[layer]}; allowed: 0 to {size}")


def is_text(value: object) -> bool:
    """Return whether it is printable text: no escape codes, and no lone surrogates, which have no bytes."""
    return isinstance(value, str) and value.isprintable()


def check_labels(argument: str, labels: Int[np.ndarray, " n"], classes: int) -> None:
    """Refuse an empty split, and labels outside 0 to `classes` - 1."""
    if not len(labels):
        raise ValueError(f"{argument} has no images; allowed: one or more")
    for label in (int(labels.min()), int(labels.max())):
        if not 0 <= label < classes:
            raise ValueError(f"{argument} has label {label}; allowed: 0 to {classes - 1}")
