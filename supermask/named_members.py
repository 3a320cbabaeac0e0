"""Criteria and actions by name: what a name at a command line or in a description stands for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, KeptAction, PrunedAction
from supermask.criteria import CRITERIA, RENAMED, Criterion
from supermask.members import Member, MemberError
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


BUILT_IN = Members(CRITERIA, KEPT_ACTIONS, PRUNED_ACTIONS)
"""The toolkit's own."""

_TAKEN = {*CRITERIA, *RENAMED, *KEPT_ACTIONS, *PRUNED_ACTIONS}


def check_names(*own: Member) -> None:
    """Raise MemberError for a user's own member with a name of the toolkit's, or with the name of another."""
    for member in own:
        if member.name in _TAKEN:
            raise MemberError(f"name is {member.name!r}, a name that is taken; choose another")
        if any(other.name == member.name and other != member for other in own):
            raise MemberError(f"{member.kind} {member.name} is defined twice; give each a name of its own (name=...)")


def _known(argument: str, name: str, members: Mapping[str, Any]) -> Any:
    if name not in members:
        raise ValueError(f"{argument} is {name!r}; allowed: {', '.join(members)}")
    return members[name]
