"""Revisions of the rules of criteria and actions: a name may have stood for another rule in the past.

A description names, under `rules`, only the revisions of rules that have changed. Old results are thus never confused
with new ones, and results under unchanged rules keep their names.
"""

from collections.abc import Mapping

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, Action
from supermask.criteria import CRITERIA, FIRST_RULES, RENAMED, Criterion
from supermask.restarts import Treatment

REGISTRIES: Mapping[str, Mapping[str, Criterion | Action]] = {
    "criterion": CRITERIA,
    "kept": KEPT_ACTIONS,
    "pruned": PRUNED_ACTIONS,
}
"""The toolkit's own, by the fields of a description that name them."""


def rules_of(treatment: Treatment) -> dict[str, dict[str, int]]:
    """Return the part of a training's description that names its rules' revisions; empty if none has changed."""
    # What asks for the weights that started at 0 has another answer than it once had where a weight can: of the
    # toolkit's kept actions that is `rewind_or_zero` alone, whose own revision tells; a user's own may be another.
    later = 2 if treatment.kept.source and "zeroed" in treatment.pruned.needs else 1
    return _part(
        {
            "criterion": treatment.criterion.revision,
            "kept": treatment.kept.revision,
            "pruned": max(treatment.pruned.revision, later),
        }
    )


def rules_of_criterion(criterion: Criterion) -> dict[str, dict[str, int]]:
    """Return the same for results that depend only on a criterion: masks of untrained networks."""
    return _part({"criterion": criterion.revision})


def present_names(choices: Mapping[str, str], revisions: Mapping[str, int]) -> dict[str, str]:
    """Return the current names of the rules of a stored result's choices.

    `choices` are a criterion and actions as stored, `revisions` its description's `rules`. A former rule that no longer
    has its own name is identified by its revision.
    """
    return {choice: _present_name(choice, name, revisions.get(choice, 1)) for choice, name in choices.items()}


def _present_name(choice: str, name: str, revision: int) -> str:
    known = REGISTRIES[choice].get(name)
    if choice == "criterion" and name in RENAMED:
        return RENAMED[name]
    if known is None or revision >= known.revision:
        return name
    return FIRST_RULES.get(name, f"{name} (revision {revision})")


def stored_names(name: str) -> set[str]:
    """Return every name under which a rule may be stored whose current name, as `present_names` has it, is this one."""
    former = {old for names in (RENAMED, FIRST_RULES) for old, new in names.items() if new == name}
    return {name, name.partition(" (revision ")[0]} | former


def _part(revisions: Mapping[str, int]) -> dict[str, dict[str, int]]:
    later = {choice: revision for choice, revision in revisions.items() if revision > 1}
    return {"rules": later} if later else {}
