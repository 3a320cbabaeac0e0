"""Setting JAX up for a command: devices and the compilation cache. Nothing here is needed to use `supermask` itself."""

import os
from pathlib import Path

from analysis.errors import UsageError, at_least
from supermask.cores import cores as cores


def set_up_jax(devices: int | None = None) -> None:
    """One CPU device a core (or `devices` of them), so that networks train side by side; compiled programs are kept.

    Settings that touch a number get the values of `supermask.settings`. Where JAX has computed something before, as in
    a notebook, its devices are taken as they are. On an accelerator the number of CPU devices does not matter.
    Raises UsageError for fewer than one device, more than there are cores, or another number than JAX has already.
    """
    if devices is not None:
        at_least("devices", devices, 1)
        if devices > cores():
            raise UsageError(f"devices is {devices}; allowed: 1 to {cores()}, the cores of this machine")
    import jax
    import platformdirs

    from supermask.population import use_all_cores
    from supermask.settings import pin_numbers

    pin_numbers()
    try:
        use_all_cores(devices)
    except RuntimeError as error:
        if devices is not None:
            raise UsageError(f"devices is {devices}; {error}") from None
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is None:
        cache = Path(platformdirs.user_cache_dir("supermask")) / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
