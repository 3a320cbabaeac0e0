"""Extras: what is installed beside the core, and one line for what is missing.

`pip install supermask` brings the core alone: functions on pytrees, in anyone's training loop. All else belongs
to an extra, `pip install 'supermask[NAME]'`, and is imported when it is used. pyproject.toml lists their packages.
"""

from collections.abc import Mapping
from importlib.util import find_spec

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "networks": ("flax", "numba", "llvmlite"),
    "data": ("pooch", "sklearn", "mlxtend", "PIL"),
    "compression": ("flax", "numba", "llvmlite", "constriction", "scipy"),
    "graphs": ("flax", "numba", "llvmlite", "networkx", "diffrax"),
    "command": (
        *("flax", "numba", "llvmlite", "pooch", "sklearn", "mlxtend", "PIL", "constriction", "scipy"),
        *("networkx", "diffrax", "matplotlib", "pandas", "jinja2", "rich", "platformdirs", "threadpoolctl"),
    ),
}
"""Extras, and the names by which their packages are imported; of two extras with a package, the first is named."""


class MissingExtraError(ModuleNotFoundError):
    """A package of an extra is not installed. The message says which, and the command that installs it."""


def need(extra: str) -> None:
    """Check that an extra is installed, before work begins that needs it; nothing is imported.

    Raises MissingExtraError if a package of the extra is not installed.
    """
    for module in EXTRAS[extra]:
        if find_spec(module) is None:
            raise _missing(module, extra)


def missing(error: ModuleNotFoundError, extra: str) -> ModuleNotFoundError:
    """Return what to raise for a failed import of an extra's package; any other module's error as it is."""
    module = (error.name or "").partition(".")[0]
    return _missing(module, extra) if module in EXTRAS[extra] else error


def _missing(module: str, extra: str) -> MissingExtraError:
    words = f"the package {module} is not installed; it is part of an extra: pip install 'supermask[{extra}]'"
    return MissingExtraError(words, name=module)
