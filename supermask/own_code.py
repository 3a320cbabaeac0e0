"""Tells user code from installed packages, the standard library and this toolkit, and finds the user modules in use."""

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import ModuleType

TOOLKIT = ("supermask",)


class UndigestedError(ValueError):
    """The code reads an object whose content cannot be digested; the message names it."""


def own_modules(module: ModuleType) -> dict[str, Path | None]:
    """Return the files of the module and of the user modules that it imports from, directly or not, by sorted name.

    Imports are read in the text as well, because a number does not say where it is from; none is carried out. None for
    a module without a file, as one that was typed in.
    """
    return _with_imports({module.__name__: _file_of(module.__name__, module)})


def own_modules_among(names: Iterable[str]) -> dict[str, Path | None]:
    """Return the files of those of these modules that are the user's, and of those that they import from."""
    found: dict[str, Path | None] = {}
    _note(names, found)
    return _with_imports(found)


def _with_imports(found: dict[str, Path | None]) -> dict[str, Path | None]:
    waiting = list(found)
    while waiting:
        name = waiting.pop()
        loaded = sys.modules.get(name)
        held = () if loaded is None else _modules_of_values(loaded)
        waiting += _note((*held, *_imported(name, found[name])), found)
    return {name: found[name] for name in sorted(found)}


def _note(names: Iterable[str], found: dict[str, Path | None]) -> list[str]:
    """Note the files of those of these modules that are the user's; return the names of the new ones."""
    new = []
    for name in dict.fromkeys(names):
        module = sys.modules.get(name)
        if name in found or (module is not None and not is_own(name)):
            continue
        file = _file_of(name, module)
        if module is not None or (file is not None and _is_users(name, file)):
            found[name] = file
            new.append(name)
    return new


def _modules_of_values(module: ModuleType) -> Iterator[str]:
    """Yield the names of loaded modules that a module's values are, or say that they are of."""
    for value in vars(module).values():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str) and name in sys.modules:
            yield sys.modules[name].__name__


def _imported(name: str, file: Path | None) -> Iterator[str]:
    """Yield what may be modules among the names that a file imports, wherever it does."""
    if file is None:
        return
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    with suppress(SyntaxError, ValueError):  # compiled, as from C
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                for each in node.names:
                    yield from candidates(each.name)
            elif isinstance(node, ast.ImportFrom):
                yield from candidates(node.module or "", [each.name for each in node.names], node.level, package)


def candidates(name: str, taken: Iterable[str] = (), level: int = 0, package: str = "") -> Iterator[str]:
    """Yield what may be modules of an import statement: of `from .name import taken`, each part of it."""
    with suppress(ImportError):  # beyond the top of the package
        home = resolve_name("." * level + name, package) if level else name
        for each in (home, *(f"{home}.{other}" for other in taken)):
            parts = each.split(".")
            yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))


def _file_of(name: str, module: ModuleType | None) -> Path | None:
    """Return a module's file, whether it is loaded or not; None without one, and where there is no such module."""
    if module is not None:
        path = getattr(module, "__file__", None)
        return Path(path) if path and Path(path).is_file() else None
    parent, _, last = name.rpartition(".")
    if not parent:
        with suppress(ImportError, ValueError):
            spec = find_spec(name)
            return Path(spec.origin) if spec and spec.origin and Path(spec.origin).is_file() else None
        return None
    home = _file_of(parent, sys.modules.get(parent))
    if home is None or home.name != "__init__.py":
        return None
    return next(
        (each for each in (home.parent / f"{last}.py", home.parent / last / "__init__.py") if each.is_file()), None
    )


def _is_users(name: str, file: Path) -> bool:
    """Return whether a module in this file is the user's."""
    return not _is_pythons(name) and not any(file.is_relative_to(folder) for folder in _installed())


def _is_pythons(name: str) -> bool:
    """Return whether a name is of the standard library or of this toolkit."""
    top = name.partition(".")[0]
    return top in TOOLKIT or top in sys.stdlib_module_names


def file_digest(name: str, file: Path | None) -> str:
    """Return the SHA-256 (hex) of a module's text. Raises UndigestedError if it has no file."""
    if file is None:
        raise UndigestedError(f"module {name} has no file")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def is_own(module: str | None) -> bool:
    """Return whether a module is user code: not installed, not part of Python, and not this toolkit."""
    if module is None:
        return False
    if _is_pythons(module):
        return module == "__main__"
    path = getattr(sys.modules.get(module), "__file__", None)
    if path is None:  # typed at a prompt, or created by exec
        return True
    return _is_users(module, Path(path))


@cache
def _installed() -> tuple[Path, ...]:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(folder) for folder in (*folders, *site.getsitepackages(), site.getusersitepackages()))
