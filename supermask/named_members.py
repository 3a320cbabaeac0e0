"""Criteria and actions by name, as on a command line or in a description."""

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from inspect import signature, unwrap
from typing import Any

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, KeptAction, PrunedAction
from supermask.controls import inverted, shuffled
from supermask.criteria import CRITERIA, RENAMED, Criterion, power
from supermask.members import Member, MemberError
from supermask.network_criteria import NETWORK_CRITERIA, iterative_snip, iterative_synflow, softened_grasp
from supermask.treatments import Treatment


@dataclass(frozen=True)
class Members:
    """Known criteria, mask-1 actions and mask-0 actions, each by its name."""

    criterion: Mapping[str, Criterion]
    kept: Mapping[str, KeptAction]
    pruned: Mapping[str, PrunedAction]

    def plus(self, *own: Criterion | KeptAction | PrunedAction) -> "Members":
        """Return these and a user's own.

        Raises MemberError for a name of the toolkit's own, or one that two of them have.
        """
        check_names(*own, *self.own)
        return replace(
            self,
            criterion={**self.criterion, **{each.name: each for each in own if isinstance(each, Criterion)}},
            kept={**self.kept, **{each.name: each for each in own if isinstance(each, KeptAction)}},
            pruned={**self.pruned, **{each.name: each for each in own if isinstance(each, PrunedAction)}},
        )

    @property
    def own(self) -> tuple[Criterion | KeptAction | PrunedAction, ...]:
        """The user's own among them."""
        known = (self.criterion, self.kept, self.pruned)
        return tuple(member for members in known for member in members.values() if member.source)

    def treatment(
        self,
        criterion: str = "large_final",
        kept: str = "rewind",
        pruned: str = "zero",
        schedule: str = "iterative",
        ranking: str = "layer",
        rewind_step: int = 0,
    ) -> Treatment:
        """Return the treatment of these names. Raises ValueError for one that is unknown."""
        if criterion in RENAMED:
            raise ValueError(f"criterion is {criterion!r}; this rule is now {RENAMED[criterion]!r}")
        return Treatment(
            _known("criterion", criterion, self.criterion),
            _known("kept", kept, self.kept),
            _known("pruned", pruned, self.pruned),
            schedule,
            ranking,
            rewind_step,
        )


BUILT_IN = Members({**CRITERIA, **NETWORK_CRITERIA}, KEPT_ACTIONS, PRUNED_ACTIONS)
"""The toolkit's own."""

_TAKEN = {*CRITERIA, *NETWORK_CRITERIA, *RENAMED, *KEPT_ACTIONS, *PRUNED_ACTIONS}


FAMILIES: Mapping[str, Callable[..., Criterion]] = {
    "power": power,
    "iterative_snip": iterative_snip,
    "iterative_synflow": iterative_synflow,
    "softened_grasp": softened_grasp,
}
"""Criteria with parameters: functions of numbers, each of which is a criterion of a name of its own."""

CONTROLS: Mapping[str, Callable[[Criterion], Criterion]] = {"shuffled": shuffled, "inverted": inverted}
"""Criteria of another criterion."""


def with_parameters(text: str, known: Mapping[str, Criterion] = BUILT_IN.criterion) -> Criterion | None:
    """Return the criterion that a text such as 'power(a=1, b=-1)' or 'shuffled(snip)' stands for; None for a name.

    known: criteria that a control may be of; it may be of one with parameters, too.

    Raises ValueError for an unknown family, for parameters that are unknown, missing, given twice or no numbers, and
    for a control of an unknown criterion.
    """
    found = re.fullmatch(r"\s*(\w+)\s*\((.*)\)\s*", text)
    if found is None:
        return None
    family, given = found.groups()
    if family in CONTROLS:
        of = with_parameters(given, known) or _known(f"the criterion in {text!r}", given.strip(), known)
        return CONTROLS[family](of)
    controls = (f"{name}(CRITERION)" for name in CONTROLS)
    allowed = "allowed: " + " or ".join((*(_signature(name) for name in FAMILIES), *controls))
    if family not in FAMILIES:
        raise ValueError(f"criterion {text!r} is unknown; {allowed}")
    values: dict[str, float] = {}
    for part in given.split(","):
        name, _, number = (each.strip() for each in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            raise ValueError(f"criterion {text!r} has {part.strip()!r}; {allowed}, of numbers") from None
        if name in values or name not in signature(FAMILIES[family]).parameters:
            raise ValueError(f"criterion {text!r} has {name!r}; {allowed}, each once")
        values[name] = value
    if missing := set(_needed(family)) - values.keys():
        raise ValueError(f"criterion {text!r} lacks {', '.join(sorted(missing))}; {allowed}")
    return FAMILIES[family](**values)


def _signature(family: str) -> str:
    needed = _needed(family)
    parts = [name if name in needed else f"[{name}" for name in signature(FAMILIES[family]).parameters]
    return f"{family}({', '.join(f'{part}=...' + ']' * part.startswith('[') for part in parts)})"


def _needed(family: str) -> list[str]:
    """Return the parameters of a family that have no default."""
    every = signature(FAMILIES[family]).parameters.values()
    return [each.name for each in every if each.default is each.empty]


def _is_made(name: str, known: Container[str]) -> bool:
    """Return whether a name is that of a criterion with parameters, or of a control of one or of a known criterion."""
    for family, make in FAMILIES.items():
        least, most = len(_needed(family)), len(signature(make).parameters)
        if re.fullmatch(rf"{family}(_-?[0-9][0-9.e+-]*){{{least},{most}}}", name):
            return True
    controlled = (name.removeprefix(f"{control}_") for control in CONTROLS if name.startswith(f"{control}_"))
    return any(each in known or _is_made(each, known) for each in controlled)


def check_names(*own: Member) -> None:
    """Raise MemberError for a user's own member with a name of the toolkit's, or with the name of another."""
    for member in own:
        toolkits = type(unwrap(member.function)).__module__.startswith("supermask.")  # as in a plug-in: sm.power(1, -1)
        made = not toolkits and _is_made(member.name, {*_TAKEN, *(each.name for each in own)})
        if member.name in _TAKEN or made:
            raise MemberError(f"name is {member.name!r}, a name that is taken; choose another")
        if any(other.name == member.name and other != member for other in own):
            raise MemberError(f"{member.kind} {member.name} is defined twice; give each a name of its own (name=...)")


def _known(argument: str, name: str, members: Mapping[str, Any]) -> Any:
    if name not in members:
        raise ValueError(f"{argument} is {name!r}; allowed: {', '.join(members)}")
    return members[name]
