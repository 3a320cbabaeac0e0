"""Setting JAX up for a command: devices and the compilation cache. Nothing here is needed to use `supermask` itself."""

import os
from pathlib import Path

from analysis.errors import UsageError, at_least


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_up_jax(devices: int | None = None) -> None:
    """One CPU device a core (or `devices` of them), so that networks train side by side; compiled programs are kept.

    Must come before JAX's first computation. On an accelerator the number of CPU devices does not matter.
    Raises UsageError for fewer than one device or more than there are cores.
    """
    if devices is not None:
        at_least("devices", devices, 1)
        if devices > cores():
            raise UsageError(f"devices is {devices}; allowed: 1 to {cores()}, the cores of this machine")
    import jax
    import platformdirs

    jax.config.update("jax_num_cpu_devices", devices or cores())
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is None:
        cache = Path(platformdirs.user_cache_dir("supermask")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
