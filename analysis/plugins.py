"""Loading a user's own criteria and actions. This runs the user's file: the one way in which the toolkit runs code."""

import functools
import hashlib
import importlib.util
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.errors import UsageError
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, Action
from supermask.criteria import CRITERIA, Criterion
from supermask.plugins import KeptAction, PrunedAction


@dataclass(frozen=True)
class Plugin:
    """What a file defines."""

    path: Path
    criteria: tuple[Criterion, ...]
    kept_actions: tuple[Action, ...]
    pruned_actions: tuple[Action, ...]

    def members(self) -> Iterator[Criterion | Action]:
        """Everything it defines."""
        yield from self.criteria
        yield from self.kept_actions
        yield from self.pruned_actions


def load_plugin(path: Path) -> Plugin:
    """Runs the file and collects what it decorated; nothing is registered yet.

    Raises UsageError where it cannot be read, raises an error itself, defines nothing, or takes a name that is taken.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"plugin {path} cannot be read: {error.strerror}") from None
    spec = importlib.util.spec_from_file_location(f"supermask_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"plugin {path} is not a Python file: its name should end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"plugin {path} raised {type(error).__name__}: {error}") from error
    source = hashlib.sha256(content).hexdigest()
    found = [
        replace(v, source=source, function=_named(path, v))
        for v in vars(module).values()
        if isinstance(v, Criterion | KeptAction | PrunedAction)
    ]
    own = [member for member in found if member.function.__module__ == module.__name__]
    if not own:
        raise UsageError(f"plugin {path} defines nothing; decorate a function with supermask.plugins.criterion")
    for member in own:
        for registry in (CRITERIA, KEPT_ACTIONS, PRUNED_ACTIONS):
            if member.name in registry and registry[member.name].source != source:
                raise UsageError(f"plugin {path} defines {member.name!r}, a name that is taken; choose another")
    return Plugin(
        path,
        tuple(m for m in own if isinstance(m, Criterion)),
        tuple(m for m in own if isinstance(m, KeptAction)),
        tuple(m for m in own if isinstance(m, PrunedAction)),
    )


def _named(path: Path, member: Criterion | Action) -> Callable[..., Any]:
    """The member's function; what it raises, or returns in a shape that cannot be used, is told by file and name."""

    @functools.wraps(member.function)
    def called(**facts: Any) -> Any:
        try:
            values = member.function(**facts)
        except Exception as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            where = f" in line {line.lineno}" if Path(line.filename) == path else ""
            raise UsageError(
                f"plugin {path}: {member.name} raised {type(error).__name__}{where}: {' '.join(str(error).split())}"
            ) from error
        shapes = [np.shape(value) for name, value in facts.items() if name != "key"]
        expected = shapes[0] if shapes else np.shape(values)
        if np.shape(values) != expected:
            raise UsageError(
                f"plugin {path}: {member.name} returned values of shape {np.shape(values)}; the layer has {expected}"
            )
        return values

    return called


def register(plugin: Plugin) -> None:
    """Enters what the plugin defines into the registries of this process, once, before anything is run."""
    CRITERIA.update({member.name: member for member in plugin.criteria})
    KEPT_ACTIONS.update({member.name: member for member in plugin.kept_actions})
    PRUNED_ACTIONS.update({member.name: member for member in plugin.pruned_actions})
