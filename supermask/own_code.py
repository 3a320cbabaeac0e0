"""Tells user code from installed packages, the standard library and this toolkit, and finds the user modules in use."""

import hashlib
import site
import sys
import sysconfig
from functools import cache
from pathlib import Path
from types import ModuleType

TOOLKIT = ("supermask",)


class UndigestedError(ValueError):
    """The code reads an object whose content cannot be digested; the message names it."""


def own_modules(module: ModuleType) -> list[ModuleType]:
    """Return the module and the user modules that it imports from, directly or not, sorted by name."""
    found = {module.__name__: module}
    waiting = [module]
    while waiting:
        for value in vars(waiting.pop()).values():
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            other = sys.modules.get(name) if isinstance(name, str) else None
            if other is not None and other.__name__ not in found and is_own(other.__name__):
                found[other.__name__] = other
                waiting.append(other)
    return [found[name] for name in sorted(found)]


def file_digest(module: ModuleType) -> str:
    """Return the SHA-256 (hex) of a module's text. Raises UndigestedError if it has no file."""
    path = getattr(module, "__file__", None)
    if path is None or not Path(path).is_file():
        raise UndigestedError(f"module {module.__name__} has no file")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@cache
def is_own(module: str | None) -> bool:
    """Return whether a module is user code: not installed, not part of Python, and not this toolkit."""
    if module is None:
        return False
    if module.partition(".")[0] in TOOLKIT or module.partition(".")[0] in sys.stdlib_module_names:
        return module == "__main__"
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None:  # typed at a prompt, or created by exec
        return True
    return not any(Path(path).is_relative_to(folder) for folder in _installed())


@cache
def _installed() -> tuple[Path, ...]:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(folder) for folder in (*folders, *site.getsitepackages(), site.getusersitepackages()))
