"""What a figure is asked to show."""

from dataclasses import dataclass

from supermask.named_members import BUILT_IN, Members


@dataclass(frozen=True)
class Shown:
    """The lines or panels of a figure: its own labels, and names of criteria or actions, which `members` knows."""

    names: tuple[str, ...]
    members: Members = BUILT_IN
