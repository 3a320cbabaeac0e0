"""Digest of a function's code and of all user code and data that it reads.

A result is stored under the name of the criterion that made it, so a criterion of the same name with other code needs
another identity. The digest covers what is loaded, not what a file contains by now: compiled code, defaults, closures,
global values, and the user's functions, classes and modules reachable from there. Installed packages, the standard
library and this toolkit count by name; a result's provenance records their versions.
"""

import dis
import hashlib
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, partial, partialmethod
from inspect import isdatadescriptor
from pathlib import Path, PurePath
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from supermask.own_code import UndigestedError, candidates, file_digest, is_own, own_modules, own_modules_among

NUMBERS = (bool, int, float, complex, np.generic, Fraction, Decimal)
PLAIN = (*NUMBERS, type(None), str, bytes, type(Ellipsis), range, slice, np.dtype, PurePath)
CONTAINERS = (*PLAIN, Mapping, tuple, list, set, frozenset)
BOUND = (BuiltinFunctionType, MethodWrapperType)
RUNNING = (GeneratorType, CoroutineType, AsyncGeneratorType)
"""Functions under way: what they will return depends on how far they are."""
ENUM_ATTRIBUTES = {name for name in vars(Enum("Empty", [])) if name.startswith("_")}
RULES = ("fwd", "bwd", "jvp", "vmap_rule")
"""Attributes of functions with derivatives, or batching, of their own: `jax.custom_vjp` and the like."""


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
        if isinstance(value, PLAIN) and not is_own(type(value).__module__):
            self.say(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self.say("seen", self._seen[id(value)][0])
            return
        self._seen[id(value)] = len(self._seen), value
        if isinstance(value, np.ndarray | jax.Array):
            is_key = jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
            self._array(np.asarray(jax.random.key_data(value) if is_key else value), where)
            if isinstance(value, np.ma.MaskedArray):
                self._array(np.ma.getmaskarray(value), where)
                self.add(value.fill_value, f"{where}'s filling")
            elif is_own(type(value).__module__):
                self.add(type(value), type(value).__qualname__)
                self.add(_attributes(value), where)
        elif isinstance(value, CodeType):
            self._code(value, where)
        elif isinstance(value, Enum):
            self._parts(value, where, "name", "value", "__class__")
        elif isinstance(value, CONTAINERS) and is_own(type(value).__module__):
            self._subclass(value, where)
        elif isinstance(value, Mapping) and type(value).__module__ != "weakref":
            self.say(type(value).__name__, len(value))
            if isinstance(value, defaultdict):
                self.add(value.default_factory, f"{where}'s default")
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
        elif hasattr(value, "__wrapped__"):  # jax.jit, functools.cache, jax.custom_vjp
            rules = [name for name in RULES if getattr(value, name, None) is not None]
            self._parts(value, where, "__wrapped__", *rules)
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
        if home is not None and not is_own(home):
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
        self._files(own_modules_among(_imports_of(function.__code__, function.__globals__.get("__package__") or "")))
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
        if isinstance(module, ModuleType) and is_own(module.__name__):
            for name in sorted(_names_of(code) & vars(module).keys()):
                self.say("attribute", name)
                self.add(vars(module)[name], f"{where}.{name}")
                self._read_from(vars(module)[name], code, f"{where}.{name}")

    def _class(self, own: type, where: str) -> None:
        self.say("class", own.__qualname__, *(base.__qualname__ for base in own.__mro__))
        if type(own) is not type:
            self.add(type(own), f"{where}'s metaclass")
        for base in own.__mro__:
            if is_own(base.__module__):
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
        elif isinstance(value, FunctionType | partial) or hasattr(value, "__wrapped__") or not _is_added(name, value):
            self.add(value, f"{where}.{name}")

    def _module(self, module: ModuleType) -> None:
        """Add a user module by its text, and the user modules that it imports."""
        self.say("module", module.__name__)
        if is_own(module.__name__):
            self._files(own_modules(module))

    def _files(self, modules: Mapping[str, Path | None]) -> None:
        for name, file in modules.items():
            self.digest.update(file_digest(name, file).encode())

    def _subclass(self, value: Any, where: str) -> None:
        """Add an instance of a user subclass of a number or container: its content, class and attributes."""
        base = next(base for base in type(value).__mro__ if not is_own(base.__module__))
        self.add(type(value), type(value).__qualname__)
        if isinstance(value, Mapping):
            self.add(list(value.items()), where)
        elif isinstance(value, tuple | list | set | frozenset):
            self.add(list(value) if isinstance(value, tuple | list) else frozenset(value), where)
        else:
            self.say(base.__qualname__, vars(base)["__repr__"](value))
        self.add(_attributes(value), where)

    def _instance(self, value: Any, where: str) -> None:
        """Add an object by its class and attributes, for user classes and for any dataclass.

        A dataclass, such as a data set or a Flax module, declares the fields that it consists of; a user's may have
        other attributes too. What a library's dataclass notes with leading underscores is not content.
        """
        kind = type(value)
        declared = [each.name for each in fields(kind)] if is_dataclass(kind) else []
        others: dict[str, Any] = {}
        if is_own(kind.__module__):
            of_library = any(is_dataclass(base) and not is_own(base.__module__) for base in kind.__mro__)
            others = {
                name: content
                for name, content in _attributes(value).items()
                if name not in declared and not (of_library and name.startswith("_"))
            }
        if not (is_dataclass(kind) or (is_own(kind.__module__) and (hasattr(value, "__dict__") or others))):
            raise UndigestedError(f"{where} is a {kind.__module__}.{kind.__qualname__}")
        self.add(kind, kind.__qualname__)
        self.add({name: getattr(value, name) for name in declared} | others, where)


def _is_added(name: str, value: Any) -> bool:
    """Return whether Python may have added an attribute to a class or an enumeration."""
    return (
        name.startswith(("__", "_abc_"))
        or name in ENUM_ATTRIBUTES
        or (isdatadescriptor(value) and not is_own(type(value).__module__))
    )


def _attributes(value: Any) -> dict[str, Any]:
    """Return an object's own attributes and filled slots, sorted; without values that are computed once from others."""
    kind = type(value)
    slots = {
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType) and is_own(base.__module__) and hasattr(value, name)
    }
    found = {name: getattr(value, name) for name in slots} | dict(getattr(value, "__dict__", {}))
    computed = {
        name for base in kind.__mro__ for name, member in vars(base).items() if isinstance(member, cached_property)
    }
    return {name: found[name] for name in sorted(found.keys() - computed)}


def _closure(function: FunctionType) -> dict[str, Any]:
    """Return the variables of enclosing functions that a function reads, as far as they are assigned."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not assigned yet
            found[name] = cell.cell_contents
    return found


def _imports_of(code: CodeType, package: str) -> Iterator[str]:
    """Yield what may be modules among the names that the code, or a function nested in it, imports as it runs."""
    before: list[Any] = [None, None]
    for each in dis.get_instructions(code):
        if each.opname == "IMPORT_NAME":
            level, taken = before  # as the compiler puts them on the stack
            yield from candidates(each.argval, taken or (), level or 0, package)
        before = [before[1], each.argval]
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _imports_of(inner, package)


def _names_of(code: CodeType) -> set[str]:
    """Return all names and attributes in the code and in the functions nested in it."""
    return set(code.co_names).union(*(_names_of(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _is_installed(value: Any) -> bool:
    """Return whether the value belongs to an installed package and its module and name identify it."""
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if name is None or isinstance(value, RUNNING) or is_own(module):
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


def _alone(value: Any, where: str) -> str:
    """Return the digest of one member of a set; sorted digests make the set's independent of order."""
    walk = _Walk()
    walk.add(value, where)
    return walk.digest.hexdigest()


def _globals_of(code: CodeType) -> set[str]:
    """Return the names that the code, and the functions nested in it, read from its module."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_globals_of(inner) for inner in code.co_consts if isinstance(inner, CodeType)))
