"""Loads user-defined criteria, actions and figures by running the user's file. Nothing else here runs foreign code."""

import functools
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from supermask.actions import Action, KeptAction, PrunedAction
from supermask.analysis.studies.experiment import Study, own_members_of
from supermask.analysis.studies.own_figures import OwnFigure
from supermask.analysis.system.errors import UsageError, reason
from supermask.criteria import Criterion
from supermask.members import Member, MemberError
from supermask.named_members import check_names
from supermask.own_code import file_digest, own_modules
from supermask.plugins import collected
from supermask.reading import read_regular


@dataclass(frozen=True)
class Plugin:
    """The criteria, actions and figures that a file defines."""

    path: Path
    criteria: tuple[Criterion, ...]
    kept_actions: tuple[KeptAction, ...]
    pruned_actions: tuple[PrunedAction, ...]
    figures: tuple[OwnFigure, ...] = ()

    def members(self) -> Iterator[Criterion | KeptAction | PrunedAction]:
        """Iterate over all criteria and actions."""
        yield from self.criteria
        yield from self.kept_actions
        yield from self.pruned_actions


def load_plugin(path: Path) -> Plugin:
    """Run the file and collect its decorated functions, also from lists and dicts, and its figures.

    Raises UsageError if it cannot be read, raises an error, defines nothing, or uses a name that is taken.
    """
    try:
        content = read_regular(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"plugin {path} cannot be read: {reason(error)}") from None
    with collected() as made:
        module = run_file(path)
    figures = {id(value): value for value in vars(module).values() if isinstance(value, OwnFigure)}
    of_figures = [m for each in figures.values() for m in own_members_of(Study(each.runs)) if not m.is_of_toolkit]
    values = (*vars(module).values(), of_figures)
    found = list({_place(member): member for value in values for member in _members_in(value)}.values())
    for member in made:
        if any(other.name == member.name and _place(other) != _place(member) for other in made):
            raise UsageError(f"plugin {path} defines {member.name!r} twice; give each a name of its own (name=...)")
    if not found and not figures:
        raise UsageError(f"plugin {path} defines nothing; {_advice(module)}")
    source = source_of(content, module, path)
    try:
        named = [replace(m, source=source, function=_named(path, m)) for m in found]
        check_names(*named)
    except MemberError as error:
        raise UsageError(f"plugin {path}: {error}") from None
    return Plugin(
        path,
        tuple(m for m in named if isinstance(m, Criterion)),
        tuple(m for m in named if isinstance(m, KeptAction)),
        tuple(m for m in named if isinstance(m, PrunedAction)),
        tuple(figures.values()),
    )


def _place(member: Member) -> tuple[type, str, int]:
    """Return the identity of a member: `supermask.treatment` makes a new one of a function each time."""
    return type(member), member.name, id(member.function)


def run_file(path: Path, what: str = "plugin") -> ModuleType:
    """Run the file as a module and return it. It stays in `sys.modules`, because dataclasses in it need that.

    what: begins the errors. Raises UsageError for what is no Python file, and for whatever the file raises.
    """
    spec = importlib.util.spec_from_file_location(f"supermask_{what}_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{what} {path} is not a Python file: its name should end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except MemberError as error:
        raise UsageError(f"{what} {path}: {error}") from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{what} {path} raised {type(error).__name__}: {error}") from error
    return module


def _members_in(value: Any) -> Iterator[Criterion | KeptAction | PrunedAction]:
    """Yield decorated members in a module's value, list or dict, except those imported from the toolkit."""
    if isinstance(value, Member):
        if isinstance(value, Criterion | KeptAction | PrunedAction) and not value.is_built_in:
            yield value
    elif isinstance(value, list | tuple | set | dict):
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, Member):
                yield from _members_in(each)


def _advice(module: ModuleType) -> str:
    """Return advice for a file without members: which of its functions may lack a decorator."""
    facts = {*Criterion.facts, *Action.facts}
    plain = [
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType)
        and value.__module__ == module.__name__
        and facts & set(value.__code__.co_varnames[: value.__code__.co_argcount + value.__code__.co_kwonlyargcount])
    ]
    if plain:
        return f'{", ".join(plain)} is not decorated: @criterion("formula"), @kept_action or @pruned_action'
    if any(isinstance(value, Action) for value in vars(module).values()):
        return "an Action is made by kept_action or pruned_action of supermask.plugins"
    return "decorate a function with supermask.plugins.criterion, or keep what a factory returns in a variable"


def source_of(content: bytes, module: ModuleType, path: Path, what: str = "plugin") -> str:
    """Return the digest of the file and of the user's own modules that it imports, if any."""
    own = hashlib.sha256(content).hexdigest()
    others = {name: file for name, file in own_modules(module).items() if name != module.__name__}
    if not others:
        return own
    try:
        digests = [f"{name} {file_digest(name, file)}" for name, file in others.items()]
    except ValueError as error:
        raise UsageError(f"{what} {path}: {error}") from None
    return hashlib.sha256("\n".join([own, *digests]).encode()).hexdigest()


def _named(path: Path, member: Criterion | Action) -> Callable[..., Any]:
    """Wrap the member's function so that errors and results of a wrong shape are reported with file and name."""

    @functools.wraps(member.function)
    def called(**facts: Any) -> Any:
        try:
            values = member.function(**facts)
        except (Exception, SystemExit) as error:
            line = traceback.extract_tb(error.__traceback__)[-1]
            where = f" in line {line.lineno}" if Path(line.filename) == path else ""
            raise UsageError(
                f"plugin {path}: {member.name} raised {type(error).__name__}{where}: {' '.join(str(error).split())}"
            ) from error
        if "network" in facts:  # scores in its structure, which whoever asks checks
            return values
        expected = next(np.shape(value) for name, value in facts.items() if name != "key")
        if np.shape(values) != expected:
            raise UsageError(
                f"plugin {path}: {member.name} returned values of shape {np.shape(values)}; the layer has {expected}"
            )
        return values

    return called
