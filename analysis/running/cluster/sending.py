"""Runs as they are sent to workers: a user's own criteria and actions go by name, since their code cannot be sent.

Workers have run the same plug-in file: see `supermask.analysis.running.cluster.worker.Setting`. A network of the user's
own goes as its file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from supermask.analysis.studies.experiment import Study
from supermask.analysis.studies.network_files import OwnNetwork, load_network
from supermask.members import Member
from supermask.named_members import Members


class OwnMember(NamedTuple):
    """A user's own criterion or action, by its name and the digest of its content."""

    name: str
    source: str


class SentRun(NamedTuple):
    """A run, by its type and the values of its fields."""

    type: type
    values: Mapping[str, Any]


class SentNetwork(NamedTuple):
    """A network of a file, FILE.py:NAME: the file's name and content, and what the network is called there."""

    file: str
    called: str
    content: bytes

    def received(self, folder: Path, digest: str) -> OwnNetwork:
        """Write the file to a folder of its own in that one, run it, and return its network.

        Raises RuntimeError where it is made of other code than what has that digest: where it imports modules of the
        user's own, and this machine has other ones.
        """
        path = folder / "network" / Path(self.file).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content)
        own = load_network(f"{path}:{self.called}")
        if own.digest != digest:
            raise RuntimeError(f"network {self.file}:{self.called} is made of other modules here than at the client")
        return own


def packed(study: Study) -> tuple[SentRun, ...]:
    """Return the runs of a study as they are sent."""
    return tuple(
        SentRun(type(run), {f.name: _packed(getattr(run, f.name)) for f in fields(run)})  # type: ignore[arg-type]
        for run in study.runs
    )


def unpacked(runs: Sequence[SentRun], members: Members) -> Study:
    """Return the study of these runs. Raises RuntimeError for a user's own member that is not among the known ones."""
    own = {OwnMember(member.name, member.source): member for member in members.own}

    def value(sent: Any) -> Any:
        if isinstance(sent, OwnMember) and sent not in own:
            raise RuntimeError(f"{sent.name} is not known here; allowed: what the toolkit and the --plugin file define")
        return own[sent] if isinstance(sent, OwnMember) else sent

    return Study(tuple(run.type(**{name: value(sent) for name, sent in run.values.items()}) for run in runs))


def _packed(value: Any) -> Any:
    """Return a user-defined member by name and source, since its code is the plugin's; anything else as it is."""
    own = isinstance(value, Member) and value.source and not value.is_of_toolkit
    return OwnMember(value.name, value.source) if own else value
