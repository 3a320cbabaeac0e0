"""Settings of a process that decide what is drawn or computed: JAX's and Flax's, by environment variable or in code.

A seed stands for the same weights everywhere, so settings that change draws are refused where a draw begins. The
command goes further: it runs under its own values of all settings that touch a number, whatever the environment says.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

DRAWS: Mapping[str, Any] = {"jax_threefry_partitionable": True, "jax_random_seed_offset": 0}
"""What JAX's draws depend on, beside their key."""

FLAX = "flax_fix_rng_separator"
"""What the keys of a Flax network's layers depend on; False, its default, is the value here."""

NUMBERS: Mapping[str, Any] = {
    **DRAWS,
    "jax_default_prng_impl": "threefry2x32",
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,
    "jax_numpy_dtype_promotion": "standard",
    "jax_softmax_custom_jvp": False,
    "jax_use_direct_linearize": True,
    "jax_disable_jit": False,
    "jax_debug_infs": False,
}
"""JAX's settings as results are made with them: its defaults. Those that a version of JAX lacks don't count.

Scores may be infinite, and under `jax_debug_infs` a program that finds them runs again, on arrays it has given away.
"""


def check_draws() -> None:
    """Raise ValueError under settings by which a seed stands for other numbers."""
    _check({name: value for name, value in _current().items() if name in (*DRAWS, FLAX)})


def check_numbers() -> None:
    """Raise ValueError under other settings than the command's, before results are made that are kept."""
    _check(_current())


def pin_numbers() -> dict[str, Any]:
    """Give every setting the value of `NUMBERS`, for the whole process; returns those that differed, as they were."""
    changed = {name: value for name, value in _current(flax=True).items() if value != _wanted(name)}
    for name in changed:
        _update(name, _wanted(name))
    return changed


@contextmanager
def pinned_numbers() -> Iterator[None]:
    """Pin the settings within the block, for a command that may be called from a user's own process.

    Imports nothing if JAX is not imported yet and no environment variable names a setting.
    """
    if "jax" not in sys.modules and not any(name.upper() in os.environ for name in (*NUMBERS, FLAX)):
        yield
        return
    changed = pin_numbers()
    try:
        yield
    finally:
        for name, value in changed.items():
            _update(name, value)


def _current(flax: bool = False) -> dict[str, Any]:
    """Return the settings. Flax's only if it is imported, as it is before a network is drawn, or if asked for."""
    import jax

    known = {name: jax.config.values[name] for name in NUMBERS if name in jax.config.values}
    if "flax" not in sys.modules and not (flax and find_spec("flax")):
        return known
    from flax import config

    return known | {FLAX: getattr(config, FLAX)}


def _wanted(name: str) -> Any:
    return False if name == FLAX else NUMBERS[name]


def _update(name: str, value: Any) -> None:
    import jax
    from flax import config

    (config if name == FLAX else jax.config).update(name, value)


def _check(current: Mapping[str, Any]) -> None:
    for name, value in current.items():
        if value != _wanted(name):
            raise ValueError(
                f"{name} is {value!r}; allowed: {_wanted(name)!r}, for the numbers of a seed depend on it "
                f"(unset {name.upper()}, or call supermask.settings.pin_numbers())"
            )
