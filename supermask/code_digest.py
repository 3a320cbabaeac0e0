"""Digest of a function's code and of all user code and data that it reads.

A result is stored under the name of the criterion that made it, so a criterion of the same name with other code needs
another identity. The digest covers what is loaded, not what a file contains by now: compiled code, defaults, closures,
global values, and the user's functions, classes and modules reachable from there. Installed packages, the standard
library and this toolkit count by name; a result's provenance records their versions.
"""

import dis
import hashlib
import site
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cache, cached_property, partial, partialmethod
from inspect import isdatadescriptor
from pathlib import Path, PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NUMBERS = (bool, int, float, complex, np.generic, Fraction, Decimal)
PLAIN = (*NUMBERS, type(None), str, bytes, type(Ellipsis), range, slice, np.dtype, PurePath)
CONTAINERS = (*PLAIN, Mapping, tuple, list, set, frozenset)
BOUND = (BuiltinFunctionType, MethodWrapperType)
ENUM_ATTRIBUTES = {name for name in vars(Enum("Empty", [])) if name.startswith("_")}
TOOLKIT = ("supermask",)


class UndigestedError(ValueError):
    """The code reads an object whose content cannot be digested; the message names it."""


def code_digest(function: Any) -> str:
    """Return the SHA-256 (hex) of a callable and of what it reads. The digest depends on Python's version.

    Raises UndigestedError if it reads an object whose content is unknown, such as an open file.
    """
    walk = _Walk()
    walk.add(function, getattr(function, "__name__", type(function).__name__))
    return walk.digest.hexdigest()


class _Walk:
    """Feeds everything reachable from a value into one digest, each object once."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._seen: dict[int, tuple[int, Any]] = {}  # keeps the objects alive, so that no id is reused

    def say(self, *words: object) -> None:
        self.digest.update("\0".join(map(str, words)).encode() + b"\n")

    def add(self, value: Any, where: str) -> None:
        if isinstance(value, PLAIN) and not _is_own(type(value).__module__):
            self.say(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self.say("seen", self._seen[id(value)][0])
            return
        self._seen[id(value)] = len(self._seen), value
        if isinstance(value, np.ndarray | jax.Array):
            is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
            self._array(np.asarray(jax.random.key_data(value) if is_key else value), where)
        elif isinstance(value, CodeType):
            self._code(value, where)
        elif isinstance(value, Enum):
            self._parts(value, where, "name", "value", "__class__")
        elif isinstance(value, CONTAINERS) and _is_own(type(value).__module__):
            self._subclass(value, where)
        elif isinstance(value, Mapping) and type(value).__module__ != "weakref":
            self.say(type(value).__name__, len(value))
            for key in value:
                self.add(key, where)
                self.add(value[key], f"{where}[{key!r}]")
        elif isinstance(value, set | frozenset):
            self.say(type(value).__name__, *sorted(_alone(each, where) for each in value))
        elif isinstance(value, tuple | list):
            self.say(type(value).__qualname__, len(value))
            for index, each in enumerate(value):
                self.add(each, f"{where}[{index}]")
        elif isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, partial):
            self._parts(value, where, "func", "args", "keywords")
        elif isinstance(value, MethodType):
            self._parts(value, where, "__func__", "__self__")
        elif _is_installed(value):
            self.say("installed", getattr(value, "__module__", None), getattr(value, "__qualname__", value.__name__))
        elif isinstance(value, FunctionType):
            self._function(value, where)
        elif isinstance(value, type):
            self._class(value, where)
        elif isinstance(value, BOUND):
            self._parts(value, where, "__name__", "__self__")
        elif hasattr(value, "__wrapped__"):  # jax.jit, functools.cache
            self._parts(value, where, "__wrapped__")
        else:
            self._instance(value, where)

    def _parts(self, value: Any, where: str, *names: str) -> None:
        self.say(type(value).__qualname__)
        for name in names:
            self.add(getattr(value, name), f"{where}.{name}")

    def _array(self, array: np.ndarray, where: str) -> None:
        if array.dtype == object:
            raise UndigestedError(f"{where} is an array of objects")
        self.say("array", array.dtype, array.shape)
        self.digest.update(np.ascontiguousarray(array).tobytes())

    def _code(self, code: CodeType, where: str) -> None:
        self.say("code", code.co_argcount, code.co_kwonlyargcount, code.co_flags, code.co_varnames, code.co_names)
        self.digest.update(code.co_code)
        for constant in code.co_consts:
            self.add(constant, where)

    def _function(self, function: FunctionType, where: str) -> None:
        self.say("function", function.__name__)
        home = function.__globals__.get("__name__")
        if home is not None and not _is_own(home):
            self.say("wrapped by", home, function.__code__.co_name)
            self.add(getattr(function, "__wrapped__", None), where)
            for name, content in _closure(function).items():  # its arguments, such as argnums of jax.grad
                self._as_far_as_known(content, name)
            return
        self.add(function.__code__, where)
        self.add(function.__defaults__, f"{where}'s defaults")
        self.add(function.__kwdefaults__, f"{where}'s defaults")
        if vars(function):
            self.add(dict(sorted(vars(function).items())), f"{where}'s attributes")
        for name, content in _closure(function).items():
            self.add(content, name)
            self._read_from(content, function.__code__, name)
        for name in sorted(_globals_of(function.__code__)):
            if name in function.__globals__:
                self.say("global", name)
                self.add(function.__globals__[name], name)
                self._read_from(function.__globals__[name], function.__code__, name)

    def _as_far_as_known(self, value: Any, where: str) -> None:
        """Add a value that an installed wrapper holds: its content if known, else its type."""
        try:
            self.add(value, where)
        except UndigestedError:
            self.say("some", type(value).__qualname__)

    def _read_from(self, module: Any, code: CodeType, where: str) -> None:
        """Add the current values that the code reads from a user module; they may have changed since its import."""
        if isinstance(module, ModuleType) and _is_own(module.__name__):
            for name in sorted(_names_of(code) & vars(module).keys()):
                self.say("attribute", name)
                self.add(vars(module)[name], f"{where}.{name}")
                self._read_from(vars(module)[name], code, f"{where}.{name}")

    def _class(self, own: type, where: str) -> None:
        self.say("class", own.__qualname__, *(base.__qualname__ for base in own.__mro__))
        if type(own) is not type:
            self.add(type(own), f"{where}'s metaclass")
        for base in own.__mro__:
            if _is_own(base.__module__):
                for name, value in sorted(vars(base).items()):
                    self._member(name, value, where)

    def _member(self, name: str, value: Any, where: str) -> None:
        """Add a method or attribute of a class. Skips what Python itself adds to classes and enumerations."""
        if isinstance(value, property):
            self._parts(value, f"{where}.{name}", "fget", "fset")
        elif isinstance(value, staticmethod | classmethod):
            self.add(value.__func__, f"{where}.{name}")
        elif isinstance(value, cached_property | partialmethod):
            self.add(value.func, f"{where}.{name}")
            self.add([getattr(value, given, None) for given in ("args", "keywords")], f"{where}.{name}")
        elif isinstance(value, FunctionType) or not (
            name.startswith(("__", "_abc_"))
            or name in ENUM_ATTRIBUTES
            or (isdatadescriptor(value) and not _is_own(type(value).__module__))
        ):
            self.add(value, f"{where}.{name}")

    def _module(self, module: ModuleType) -> None:
        """Add a user module by its text, and the user modules that it imports."""
        self.say("module", module.__name__)
        if _is_own(module.__name__):
            for own in own_modules(module):
                self.digest.update(file_digest(own).encode())

    def _subclass(self, value: Any, where: str) -> None:
        """Add an instance of a user subclass of a number or container: its content, class and attributes."""
        base = next(base for base in type(value).__mro__ if not _is_own(base.__module__))
        self.add(type(value), type(value).__qualname__)
        if isinstance(value, Mapping):
            self.add(list(value.items()), where)
        elif isinstance(value, tuple | list | set | frozenset):
            self.add(list(value) if isinstance(value, tuple | list) else frozenset(value), where)
        else:
            self.say(base.__qualname__, vars(base)["__repr__"](value))
        self.add(dict(sorted(getattr(value, "__dict__", {}).items())), where)

    def _instance(self, value: Any, where: str) -> None:
        """Add an object by its class and attributes, for user classes and for any dataclass.

        A dataclass, such as a data set or a Flax module, declares the fields that it consists of.
        """
        kind = type(value)
        if not (is_dataclass(kind) or (_is_own(kind.__module__) and hasattr(value, "__dict__"))):
            raise UndigestedError(f"{where} is a {kind.__module__}.{kind.__qualname__}")
        names = [each.name for each in fields(kind)] if is_dataclass(kind) else sorted(vars(value))
        self.add(kind, kind.__qualname__)
        self.add({name: getattr(value, name) for name in names}, where)


def _closure(function: FunctionType) -> dict[str, Any]:
    """Return the variables of enclosing functions that a function reads, as far as they are assigned."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _names_of(code: CodeType) -> set[str]:
    """Return all names and attributes in the code and in the functions nested in it."""
    return set(code.co_names).union(*(_names_of(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _is_installed(value: Any) -> bool:
    """Return whether the value belongs to an installed package and its module and name identify it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if name is None or _is_own(module):
        return False
    if isinstance(value, BOUND):
        return isinstance(value.__self__, ModuleType | type | type(None))
    if isinstance(value, FunctionType):
        return (module not in (None, "builtins") and not value.__closure__) or _found(module, value) is value
    if isinstance(value, np.ufunc):
        return not name.endswith("(vectorized)")  # made by np.frompyfunc from a function that cannot be read
    return isinstance(value, type) or not hasattr(value, "__dict__") or _found(module, value) is value


def _found(module: str | None, value: Any) -> Any:
    """Return the object that the module has under the value's name."""
    found = sys.modules.get(module or "")
    for name in getattr(value, "__qualname__", value.__name__).split("."):
        found = getattr(found, name, None)
    return found


def own_modules(module: ModuleType) -> list[ModuleType]:
    """Return the module and the user modules that it imports from, directly or not, sorted by name."""
    found = {module.__name__: module}
    waiting = [module]
    while waiting:
        for value in vars(waiting.pop()).values():
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            other = sys.modules.get(name) if isinstance(name, str) else None
            if other is not None and other.__name__ not in found and _is_own(other.__name__):
                found[other.__name__] = other
                waiting.append(other)
    return [found[name] for name in sorted(found)]


def file_digest(module: ModuleType) -> str:
    """Return the SHA-256 (hex) of a module's text. Raises UndigestedError if it has no file."""
    path = getattr(module, "__file__", None)
    if path is None or not Path(path).is_file():
        raise UndigestedError(f"module {module.__name__} has no file")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _alone(value: Any, where: str) -> str:
    """Return the digest of one member of a set; sorted digests make the set's independent of order."""
    walk = _Walk()
    walk.add(value, where)
    return walk.digest.hexdigest()


def _globals_of(code: CodeType) -> set[str]:
    """Return the names that the code, and the functions nested in it, read from its module."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_globals_of(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


@cache
def _is_own(module: str | None) -> bool:
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
