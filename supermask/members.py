"""What criteria and actions have in common: a name, a function that asks for facts by name, and an identity.

A function's parameters are facts of a layer; any other parameter has a default, and is the function's own. Whatever can
be called will do: a function, `functools.partial`, what a factory returns, an instance of a dataclass with `__call__`.
"""

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from supermask.code_digest import UndigestedError, code_digest

Function = Callable[..., Float[Array, "*shape"]]

RESERVED = ("unpruned", "none", "nan", "null", "na", "true", "false", "inf", "all", "default")
"""Words that are no names: what tables call the unpruned network, and what programs read from a table as no text."""

CODE = "code "
"""What the source of a member begins with whose code was digested; that of a plugin's is its file's digest."""


class MemberError(ValueError):
    """A user's criterion or action does not keep what it should; the message names it."""


class Member:
    """What a named function of a layer's facts can do, for the dataclasses `Criterion` and `Action`.

    `source` is the identity of a user's own: the digest of its file or its code, or its version. The toolkit's own have
    none; a name is enough for them.
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

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the facts that the function asks for. Raises MemberError for parameters that nothing is known of."""
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
        """Whether it's one of the toolkit's own, under its own name: those have an identity by name alone."""
        module = getattr(self.function, "__module__", None) or ""
        own = getattr(sys.modules.get(module), self.name, None)
        return module.startswith("supermask.") and own is self.function

    def _digest(self) -> str:
        try:
            return CODE + code_digest(self.function)
        except UndigestedError as error:
            raise MemberError(
                f"{self.kind} {self.name} cannot be told from a changed one: {error}; "
                "give version=..., and another one whenever it changes"
            ) from None

    def values(self, chosen: dict[str, Any]) -> Float[Array, "*shape"]:
        """The function's values for those facts, float32 and of the layer's shape.

        Raises MemberError for values of another shape or kind, and where the function has changed since it was named.
        """
        if self.source.startswith(CODE) and self.source != self._digest():
            raise MemberError(f"{self.kind} {self.name} has changed since it was defined; define it anew")
        shape = next(value.shape for name, value in chosen.items() if name != "key")
        values = jnp.asarray(self.function(**chosen))
        if values.shape != shape:
            raise MemberError(f"{self.kind} {self.name} returned values of shape {values.shape}; the layer has {shape}")
        if not any(jnp.issubdtype(values.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            raise MemberError(f"{self.kind} {self.name} returned {values.dtype}; allowed: numbers")
        return values.astype(jnp.float32)
