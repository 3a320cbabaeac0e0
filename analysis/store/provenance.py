"""What a result was made with: versions, backend, machine."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

import supermask

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


@cache
def provenance() -> dict[str, Any]:
    """Versions of all that shapes a number, the backend and its devices, and the toolkit's commit if it has one.

    Settings of JAX are no part of it: see `supermask.settings`. XLA's flags, which may change rounding, are, if set.
    """
    devices = jax.local_devices()
    return {
        "supermask": supermask.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "backend": devices[0].platform,
        "device": devices[0].device_kind,
        "devices": len(devices),
        "machine": f"{platform.system()} {platform.machine()}",
        **({"xla_flags": flags} if (flags := os.environ.get("XLA_FLAGS")) else {}),
    }


def _commit() -> str | None:
    """The checkout's commit, with '+' where files differ from it; None where the package is not run from a checkout."""
    root = Path(supermask.__file__).parent.parent
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
