"""A plug-in file's figure for the layers below drawing: its name, and the runs that it needs."""

from collections.abc import Hashable
from dataclasses import fields, replace
from typing import Any

from supermask.analysis.studies.experiment import Study
from supermask.members import Member
from supermask.named_members import Members


class OwnFigure:
    """Base of figures of a user's own, which the command finds in the file after --plugin."""

    name: str
    runs: tuple[Hashable, ...]


def with_members(runs: tuple[Hashable, ...], members: Members) -> Study:
    """Return the study of the runs, with the user's own criteria and actions as `members` has them.

    A plug-in file identifies its members by its content; the runs that it made hold them as its code does.
    """
    own: dict[tuple[type, str], Member] = {(type(member), member.name): member for member in members.own}

    def known(value: Any) -> Any:
        return own.get((type(value), value.name), value) if isinstance(value, Member) and value.source else value

    return Study(
        tuple(
            replace(run, **{each.name: known(getattr(run, each.name)) for each in fields(run)})  # type: ignore[arg-type, type-var]
            for run in runs
        )
    )
