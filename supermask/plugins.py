"""Decorators for a criterion or action of one's own, in a plug-in file of the command or in Python.

    from supermask.plugins import criterion

    @criterion("|wf / wi|")
    def relative_growth(w_initial, w_final):
        \"\"\"How much a weight grew, relative to its start.\"\"\"
        return abs(w_final) / (abs(w_initial) + 1e-12)

Parameters are named after what is needed: see `supermask.criteria.LayerFacts` and `supermask.actions.ActionFacts`.
Others are the function's own and have defaults. For several criteria of one function, make them by calling:

    def power(w_final, exponent=2.0): ...

    powers = [criterion(f"|wf|^{p}", name=f"power_{p}")(partial(power, exponent=p)) for p in (1, 2, 3)]

In Python, a member is given to `supermask.restarts.Treatment` as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from supermask.actions import Action, KeptAction, PrunedAction
from supermask.criteria import Criterion
from supermask.members import Function, MemberError

Made = TypeVar("Made", Criterion, KeptAction, PrunedAction)
OwnAction = TypeVar("OwnAction", KeptAction, PrunedAction)


def criterion(formula: str, *, name: str = "", version: str = "") -> Callable[[Function], Criterion]:
    """Make a function a mask criterion. See `supermask.criteria`.

    Args:
        formula: what figures show.
        name: what it is called; by default the function's own name.
        version: its identity, in place of the digest of its code. Give another one whenever the function changes.

    Raises:
        MemberError: for a function that cannot be one; the message says what is allowed.
    """
    if not isinstance(formula, str):
        raise MemberError('criterion is given a function; allowed: its formula first, @criterion("|wf|")')

    def make(function: Function) -> Criterion:
        return _made(Criterion(name or _name_of(function), function, formula, _source(version)))

    return make


def kept_action(
    function: Function | None = None, *, name: str = "", version: str = ""
) -> KeptAction | Callable[[Function], KeptAction]:
    """Make a function a mask-1 action: where kept weights restart. See `supermask.actions`, and `criterion`."""
    make = partial(_action, KeptAction, name, version)
    return make if function is None else make(function)


def pruned_action(
    function: Function | None = None, *, name: str = "", version: str = ""
) -> PrunedAction | Callable[[Function], PrunedAction]:
    """Make a function a mask-0 action: what pruned weights are frozen at. See `kept_action`."""
    make = partial(_action, PrunedAction, name, version)
    return make if function is None else make(function)


def _action(kind: type[OwnAction], name: str, version: str, function: Function) -> OwnAction:
    return _made(kind(name or _name_of(function), function, _source(version)))


@contextmanager
def collected() -> Iterator[list[Criterion | Action]]:
    """Collect everything that decorators make within the block, including what a second definition of a name hides."""
    own: list[Criterion | Action] = []
    _collecting.append(own)
    try:
        yield own
    finally:
        _collecting.remove(own)


_collecting: list[list[Criterion | Action]] = []


def _made(member: Made) -> Made:
    for own in _collecting:
        own.append(member)
    return member


def _name_of(function: Function) -> str:
    """Return the name of a function, of the function inside a `functools.partial`, or of a callable's class."""
    while isinstance(function, partial):
        function = function.func
    name: str = getattr(function, "__name__", type(function).__name__)
    return name


def _source(version: str) -> str:
    return f"version {version}" if version else ""
