"""Treatments: the lottery ticket algorithm's three choices (mask criterion, mask-1 action, mask-0 action), and when.

Frankle & Carbin 2019 (arXiv 1803.03635), section 1; Zhou et al. 2019, section 2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, KeptAction, PrunedAction
from supermask.checks import check_whole
from supermask.counts import RANKINGS
from supermask.criteria import CRITERIA, Criterion
from supermask.members import Function, Member
from supermask.network_criteria import NETWORK_CRITERIA
from supermask.plugins import criterion as make_criterion
from supermask.plugins import kept_action, pruned_action


@dataclass(frozen=True)
class Treatment:
    """How a run is pruned and restarted. The default is the lottery ticket algorithm.

    criterion: which weights to keep, one of `supermask.criteria.CRITERIA`, `supermask.network_criteria` or of one's
        own (`supermask.plugins`).
    kept: where they restart (mask-1 action), one of `KEPT_ACTIONS` or of one's own.
    pruned: where the others are frozen (mask-0 action), one of `PRUNED_ACTIONS` or of one's own.
    schedule: 'iterative' prunes a little after every round; 'one_shot' makes each round's mask from round 0 alone.
    ranking: weights compete within their 'layer', or 'global'ly (then the rate of dense layers holds for all).
    rewind_step: the step of round 0 whose weights 'rewind' goes back to; training then takes the steps after it.

    `supermask.named_members.BUILT_IN.treatment("movement")` makes one from names.
    """

    criterion: Criterion = CRITERIA["large_final"]
    kept: KeptAction = KEPT_ACTIONS["rewind"]
    pruned: PrunedAction = PRUNED_ACTIONS["zero"]
    schedule: str = "iterative"
    ranking: str = "layer"
    rewind_step: int = 0

    def __post_init__(self) -> None:
        _check_member("criterion", self.criterion, Criterion, "CRITERIA['large_final'] of supermask.criteria")
        _check_member("kept", self.kept, KeptAction, "KEPT_ACTIONS['rewind'] of supermask.actions")
        _check_member("pruned", self.pruned, PrunedAction, "PRUNED_ACTIONS['zero'] of supermask.actions")
        allowed = {"schedule": ("iterative", "one_shot"), "ranking": RANKINGS}
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(choices)}")
        object.__setattr__(self, "rewind_step", check_whole("rewind_step", self.rewind_step, 0))

    @property
    def asks_for_zeros(self) -> bool:
        """Whether an action asks which weights the round before started at 0."""
        return self.schedule == "iterative" and any("zeroed" in each.needs for each in (self.kept, self.pruned))


def _check_member(argument: str, given: Any, kind: type[Member], example: str) -> None:
    """Raise ValueError for anything but such a member, such as a name or a bare function."""
    if not isinstance(given, kind):
        decorator = {Criterion: "criterion", KeptAction: "kept_action", PrunedAction: "pruned_action"}[kind]
        text = given.__name__ if callable(given) and hasattr(given, "__name__") else repr(given)
        raise ValueError(
            f"{argument} is {text}; allowed: a {kind.__name__} such as {example}, "
            f"or what supermask.plugins.{decorator} makes of a function"
        )


def treatment(
    criterion: Criterion | Function = CRITERIA["large_final"],
    kept: KeptAction | Function = KEPT_ACTIONS["rewind"],
    pruned: PrunedAction | Function = PRUNED_ACTIONS["zero"],
    *,
    ranking: str = "layer",
) -> Treatment:
    """Return a treatment: which weights are kept, where they restart, and where the others are frozen.

    The functions are those of `supermask`, such as `magnitude_increase`, `rewind` and `zero`, or your own.

    Raises MemberError for a function that cannot be one, and ValueError for another ranking than 'layer' or 'global'.
    """
    return Treatment(
        criterion_of(criterion),
        _member(kept, KEPT_ACTIONS, kept_action),
        _member(pruned, PRUNED_ACTIONS, pruned_action),
        ranking=ranking,
    )


def criterion_of(given: Criterion | Function) -> Criterion:
    """Return the criterion of a function: the toolkit's, or one made of it. Raises MemberError if it cannot be one."""
    found: Criterion = _member(given, {**CRITERIA, **NETWORK_CRITERIA}, make_criterion(""))
    return found


def _member(given: Any, known: Mapping[str, Any], make: Callable[..., Any]) -> Any:
    """Return the function's member, or make one. Of two members of one function, such as aliases, the first counts."""
    if isinstance(given, Member):
        return given
    return next((member for member in known.values() if member.function is given), None) or make(given)
