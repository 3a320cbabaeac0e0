"""Provenance of results: versions, backend, machine."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

import supermask
from supermask.cores import xla_threads

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


@cache
def provenance() -> dict[str, Any]:
    """Return versions of all that affects numbers, the backend, its devices and threads, and the toolkit's commit.

    XLA's flags are included if set, because they may change rounding. Settings of JAX are not: see
    `supermask.settings`.
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
        **({"threads": max(xla_threads(), len(devices))} if devices[0].platform == "cpu" else {}),
        "machine": f"{platform.system()} {platform.machine()}",
        **({"xla_flags": flags} if (flags := os.environ.get("XLA_FLAGS")) else {}),
    }


def version_words() -> str:
    """Return the toolkit's version as captions have it: with a checkout's commit, and '+' if files differ from it."""
    found, commit = provenance(), provenance()["commit"] or ""
    short = commit[:7] + ("+" if commit.endswith("+") else "")
    return f"supermask {found['supermask']}" + (f" ({short})" if short else "")


def _commit() -> str | None:
    """Return the checkout's commit, with '+' if files differ from it; None outside a checkout."""
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
