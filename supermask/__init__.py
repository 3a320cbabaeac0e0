"""supermask: masks, signs and supermasks of lottery tickets, in JAX.

    import supermask as sm

    masks = sm.prune(key, initial, final, sm.large_final, fraction=0.2)
    params = sm.restart(key, initial, final, masks)
    optimiser = sm.freeze(optax.adamw(1e-3), masks)

Parameters are any pytree. What is not named here is in the modules: see docs/library.md. Names are loaded when they are
asked for: `import supermask` alone takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from supermask.actions import (
        constant,
        constant_same_sign,
        init,
        reinit,
        reinit_same_sign,
        reshuffle,
        reshuffle_same_sign,
        rewind,
        zero,
        zero_if_grown,
        zero_if_shrunk,
    )
    from supermask.criteria import (
        grad,
        large_final,
        large_final_diff_sign,
        large_final_same_sign,
        large_init,
        large_init_large_final,
        magnitude_increase,
        magnitude_increase_diff_sign,
        magnitude_increase_same_sign,
        movement,
        random,
        small_final,
        small_init,
        small_init_small_final,
        snip,
    )
    from supermask.mask_files import load_masks, read_masks, save_masks
    from supermask.pruning import agreement, apply_masks, freeze, prune, restart, summary

_NAMES = {
    "actions": "constant constant_same_sign init reinit reinit_same_sign reshuffle reshuffle_same_sign rewind zero "
    "zero_if_grown zero_if_shrunk",
    "criteria": "grad large_final large_final_diff_sign large_final_same_sign large_init large_init_large_final "
    "magnitude_increase magnitude_increase_diff_sign magnitude_increase_same_sign movement random small_final "
    "small_init small_init_small_final snip",
    "mask_files": "load_masks read_masks save_masks",
    "pruning": "agreement apply_masks freeze prune restart summary",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "agreement",
    "apply_masks",
    "constant",
    "constant_same_sign",
    "freeze",
    "grad",
    "init",
    "large_final",
    "large_final_diff_sign",
    "large_final_same_sign",
    "large_init",
    "large_init_large_final",
    "load_masks",
    "magnitude_increase",
    "magnitude_increase_diff_sign",
    "magnitude_increase_same_sign",
    "movement",
    "prune",
    "random",
    "read_masks",
    "reinit",
    "reinit_same_sign",
    "reshuffle",
    "reshuffle_same_sign",
    "restart",
    "rewind",
    "save_masks",
    "small_final",
    "small_init",
    "small_init_small_final",
    "snip",
    "summary",
    "zero",
    "zero_if_grown",
    "zero_if_shrunk",
]


_MODULES = (
    "actions",
    "criteria",
    "datasets",
    "learned_masks",
    "lottery",
    "masks",
    "networks",
    "population",
    "training",
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"supermask.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'supermask' has no attribute {name!r}")
    return getattr(import_module(f"supermask.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
