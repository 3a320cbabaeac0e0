"""JAX set-up for commands: devices and the compilation cache. The library `supermask` itself needs none of it."""

import os
import sys
from pathlib import Path

from supermask.analysis.system.errors import UsageError, at_least
from supermask.analysis.system.program_cache import remove_torn
from supermask.analysis.system.terminal import complain
from supermask.cores import cores as cores


def set_up_jax(devices: int | None = None) -> None:
    """Create one CPU device per core (or `devices` of them), so that networks train side by side, and cache programs.

    Settings that affect numbers get the values of `supermask.settings`. If JAX has already computed something, as in a
    notebook, its devices stay as they are. On an accelerator the number of CPU devices does not matter.
    Raises UsageError for fewer than one device, for more than there are cores, for another number than JAX already has,
    and if JAX finds no device.
    """
    if devices is not None:
        at_least("devices", devices, 1)
        if devices > cores():
            raise UsageError(f"devices is {devices}; allowed: 1 to {cores()}, the cores of this machine")
    import jax

    from supermask.population import use_all_cores
    from supermask.settings import pin_numbers

    pin_numbers()
    try:
        use_all_cores(devices)
    except RuntimeError as error:
        if devices is not None:
            raise UsageError(f"devices is {devices}; {error}") from None
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is None and (cache := _cache()):
        remove_torn(cache)
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if words := backend_fault():
        raise UsageError(words)


def _cache() -> Path | None:
    """Return the cache of compiled programs; None, with a message, if there can be none: JAX would warn each time."""
    import platformdirs

    try:
        cache = Path(platformdirs.user_cache_dir("supermask")) / "compiled"
        if cache.is_absolute():
            cache.mkdir(parents=True, exist_ok=True)
            if os.access(cache, os.W_OK | os.X_OK):
                return cache
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        pass
    complain("compiled programs are not kept: there is no folder for them; set HOME or JAX_COMPILATION_CACHE_DIR")
    return None


def backend_fault(error: Exception | None = None) -> str:
    """Return what is wrong with the environment's settings for JAX, on one line; empty if nothing is.

    `error` is one that was raised before: JAX refuses some settings on import.
    """
    if isinstance(error, ValueError) and " for environment '" in str(error):
        return " ".join(str(error).split())
    if "jax" not in sys.modules:
        return ""
    import jax

    try:
        jax.local_devices()
    except (RuntimeError, AssertionError) as failure:  # AssertionError: a platform whose plugin is not installed
        why = " ".join(str(failure).split()) or "no such device, or its plugin is not installed"
        return f"JAX_PLATFORMS is {os.environ.get('JAX_PLATFORMS', '')!r}, which cannot be used here: {why}"
    return ""
