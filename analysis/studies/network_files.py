"""Networks of a user's own: `FILE.py:NAME`, a value of a Python file that is run."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supermask.analysis.studies.plugin_files import run_file, source_of
from supermask.analysis.system.errors import UsageError, reason
from supermask.model import Network, for_classes
from supermask.reading import read_regular

ALLOWED = (
    "a supermask.networks.Network, a Flax Linen module, the class of a Flax NNX or Equinox module, "
    "a pair (init, apply), or a function of `rngs`, `key` or `classes` that returns one"
)


@dataclass(frozen=True)
class OwnNetwork:
    """A network of a file, and the digest of the code that it is made by: the file's and that of its own modules.

    value: what the file has under the name; `network` makes a network of it. content: the file's.
    """

    path: Path
    called: str
    value: Any
    digest: str
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in descriptions, tables and file names, with the beginning of the digest: code of its own each."""
        return f"{self.called}@{self.digest[:12]}"

    def network(self, classes: int) -> Network:
        """Return the network for that many classes. Raises UsageError for a value that is none."""
        try:
            found = as_network(self.value, classes)
        except (Exception, SystemExit) as error:
            words = " ".join(str(error).split())
            raise UsageError(f"network {self.path}:{self.called} raised {type(error).__name__}: {words}") from error
        if found is None:
            kind = type(self.value).__name__
            raise UsageError(f"network {self.path}:{self.called} is a {kind}; allowed: {ALLOWED}")
        return found


def is_own(text: str) -> bool:
    """Return whether an argument names a network of a file."""
    path, colon, name = text.rpartition(":")
    return bool(colon) and path.endswith(".py") and name.isidentifier()


def load_network(text: str) -> OwnNetwork:
    """Run the file of `FILE.py:NAME` and return its network.

    Raises UsageError for a file that cannot be read or raises an error, and for a name that it does not define.
    """
    path, called = Path(text.rpartition(":")[0]).expanduser(), text.rpartition(":")[2]
    try:
        content = read_regular(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"network {path} cannot be read: {reason(error)}") from None
    module = run_file(path, "network")
    if called not in vars(module):
        own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        raise UsageError(f"network {path} has no {called}; it defines {', '.join(own) or 'nothing'}")
    return OwnNetwork(path, called, vars(module)[called], source_of(content, module, path, "network"), content)


def as_network(value: Any, classes: int) -> Network | None:
    """Return the network that a value stands for; None if it stands for none.

    A field `classes` of a Linen module is set, and a function's argument of that name is given.
    """
    from flax import linen as nn
    from flax import nnx

    from supermask.adapters import of_functions, of_linen, of_nnx

    if isinstance(value, type):
        if issubclass(value, nnx.Module):
            return of_nnx(value)
        if (found := _of_equinox(value)) is not None:
            return found
        return as_network(value(), classes) if issubclass(value, nn.Module) else None
    if isinstance(value, nn.Module):
        own = for_classes(value, classes) if "classes" in value.__dataclass_fields__ else value
        return own if isinstance(own, Network) else of_linen(own)
    if isinstance(value, tuple) and len(value) == 2 and all(map(callable, value)):
        return of_functions(*value)
    return _of_function(value, classes) if callable(value) else None


def _of_equinox(value: type) -> Network | None:
    try:
        import equinox as eqx
    except ModuleNotFoundError:
        return None
    from supermask.adapters import of_equinox

    return of_equinox(eqx.nn.make_with_state(value)) if issubclass(value, eqx.Module) else None


def _of_function(value: Callable[..., Any], classes: int) -> Network | None:
    from supermask.adapters import of_equinox, of_nnx

    taken = inspect.signature(value).parameters
    if "classes" in taken:
        return as_network(value(classes=classes), classes)
    makers = {"rngs": of_nnx, "key": of_equinox}
    return next((make(value) for name, make in makers.items() if list(taken) == [name]), None)
