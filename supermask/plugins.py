"""Decorators for a criterion or action of one's own, in a file given to the command by --plugin.

    from supermask.plugins import criterion

    @criterion("|wf / wi|")
    def relative_growth(w_initial, w_final):
        \"\"\"How much a weight grew, relative to its start.\"\"\"
        return abs(w_final) / (abs(w_initial) + 1e-12)

Parameters are named after what is needed: see `supermask.criteria.LayerFacts` and `supermask.actions.ActionFacts`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Array, Float

from supermask.actions import Action
from supermask.criteria import Criterion

Function = Callable[..., Float[Array, "*shape"]]


@dataclass(frozen=True)
class KeptAction(Action):
    """A mask-1 action."""


@dataclass(frozen=True)
class PrunedAction(Action):
    """A mask-0 action."""


def criterion(formula: str) -> Callable[[Function], Criterion]:
    """Makes a function a mask criterion of its name; the formula is what figures show. See `supermask.criteria`."""
    return lambda function: Criterion(function.__name__, function, formula)


def kept_action(function: Function) -> KeptAction:
    """Makes a function a mask-1 action of its name: where kept weights restart. See `supermask.actions`."""
    return KeptAction(function.__name__, function)


def pruned_action(function: Function) -> PrunedAction:
    """Makes a function a mask-0 action of its name: what pruned weights are frozen at. See `supermask.actions`."""
    return PrunedAction(function.__name__, function)
