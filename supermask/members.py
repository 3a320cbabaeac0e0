"""Common base of criteria and actions: a name, a function that requests inputs by parameter name, and an identity.

A function's parameters are inputs of a layer; all others need a default and belong to the function itself. Any callable
works: a function, `functools.partial`, the result of a factory, an instance of a dataclass with `__call__`.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from supermask.code_digest import code_digest
from supermask.own_code import UndigestedError

Function = Callable[..., Float[Array, "*shape"]]

RESERVED = ("unpruned", "none", "nan", "null", "na", "true", "false", "inf", "all", "default")
"""Reserved names: tables call the unpruned network so, or programs read them from a table as something but text."""

CODE = "code "
"""Prefix of the source of a member identified by its code; the source of a plugin's member is its file's digest."""


class MemberError(ValueError):
    """An unsuitable user-defined criterion or action; the message names it."""


class Member:
    """Base of the dataclasses `Criterion` and `Action`: a named function of a layer's inputs.

    `source` is the identity of a user-defined member: the digest of its file or its code, or its version. The toolkit's
    own members have none, because their names identify them.
    """

    name: str
    function: Function
    source: str
    kind: ClassVar[str]
    facts: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", self.name):
            allowed = "a letter, then letters, digits, '_', '.' and '-'"
            raise MemberError(f"name is {self.name!r}; allowed for a {self.kind}: {allowed} (give name=...)")
        if self.name.lower() in RESERVED:
            raise MemberError(f"name is {self.name!r}, a reserved word; choose another for this {self.kind}")
        if not callable(self.function):
            raise MemberError(f"{self.kind} {self.name} is a {type(self.function).__name__}; allowed: a function")
        if not set(self.needs) - {"key"}:
            allowed = ", ".join(name for name in self.facts if name != "key")
            raise MemberError(f"{self.kind} {self.name} asks for no weights; allowed: one or more of {allowed}")
        if not self.source and not self.is_built_in:
            object.__setattr__(self, "source", self._digest())

    def __repr__(self) -> str:
        return self.name

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the inputs that the function requests. Raises MemberError for unknown parameters."""
        names, own = [], []
        for parameter in inspect.signature(self.function).parameters.values():
            by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if parameter.name in self.facts and by_name:
                names.append(parameter.name)
            elif parameter.default is parameter.empty or not by_name:
                own.append(str(parameter))
        if own:
            raise MemberError(
                f"{self.kind} {self.name}: parameters {', '.join(own)} are unknown; "
                f"allowed: {', '.join(self.facts)}; others with a default, such as power=2, are its own"
            )
        return tuple(names)

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of the toolkit's own under its own name, which then identifies it."""
        module = getattr(self.function, "__module__", None) or ""
        names = getattr(inspect.unwrap(self.function), "__globals__", {})
        return module.startswith("supermask.") and names.get(self.name) is self.function

    @property
    def is_of_toolkit(self) -> bool:
        """Whether its function is an object of the toolkit's, such as a criterion's with parameters."""
        return type(self.function).__module__.startswith("supermask.")

    def _digest(self) -> str:
        try:
            return CODE + code_digest(self.function)
        except UndigestedError as error:
            raise MemberError(
                f"{self.kind} {self.name} cannot be told from a changed one: {error}; "
                "give version=..., and another one whenever it changes"
            ) from None

    def check_unchanged(self) -> None:
        """Raise MemberError if the function has changed since it was named."""
        if self.source.startswith(CODE) and self.source != self._digest():
            raise MemberError(f"{self.kind} {self.name} has changed since it was defined; define it anew")

    def values(self, chosen: dict[str, Any]) -> Float[Array, "*shape"]:
        """Return the function's values for these inputs, as float32 in the layer's shape.

        Raises MemberError for values of another shape or type, and if the function has changed since it was named.
        """
        self.check_unchanged()
        shape = next(value.shape for name, value in chosen.items() if name != "key")
        returned: Any = self.function(**chosen)
        try:
            values = jnp.asarray(returned)
        except (TypeError, ValueError):
            kind = type(returned).__name__
            raise MemberError(f"{self.kind} {self.name} returned a {kind}; allowed: numbers, {shape}") from None
        if values.shape != shape:
            raise MemberError(f"{self.kind} {self.name} returned values of shape {values.shape}; the layer has {shape}")
        if not any(jnp.issubdtype(values.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            raise MemberError(f"{self.kind} {self.name} returned {values.dtype}; allowed: numbers")
        try:
            return as_float32(values)
        except ValueError as error:
            raise MemberError(f"{self.kind} {self.name} returned {error}") from None


def as_float32(values: Array) -> Float[Array, "*shape"]:
    """Return numbers as float32. Raises ValueError for integers that float32 rounds.

    Compiled code cannot raise: there they are NaN, which is refused later.
    """
    found = values.astype(jnp.float32)
    if not jnp.issubdtype(values.dtype, jnp.integer):
        return found
    same = found.astype(values.dtype) == values
    if not isinstance(same, jax.core.Tracer) and not same.all():
        raise ValueError("integers above 2**24, which float32 rounds")
    return jnp.where(same, found, jnp.nan)
