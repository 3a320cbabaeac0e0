"""How many cores this process may use, and threads XLA. By itself, so that it can be asked before JAX is imported."""

import os


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def xla_threads() -> int:
    """Return the number of threads over which XLA splits a product of matrices on a CPU: it changes the last bits.

    XLA reads it in the environment variable NPROC; without a number there, it takes the cores.
    """
    said = os.environ.get("NPROC", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else cores()
