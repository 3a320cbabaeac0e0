"""Captions and file names that state where numbers come from, computed from what was used.

The data set is named from the data, not from the protocol. Changes of a protocol are found by comparing it, field by
field, with the original of its name, however it was made. Only changes that matter for a study are named: those without
which the study's results would differ.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from supermask.analysis.kinds.plan import complete, ids_needed, lengths
from supermask.analysis.kinds.rounds import There
from supermask.analysis.store.provenance import version_words
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import TITLES, differences
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.words import count, number
from supermask.datasets import DATASETS, Dataset
from supermask.neural_graphs.runs import GraphRun
from supermask.sparse_training.runs import SparseRun

LONGEST = 60
"""Maximum bytes of a part of a file name; longer parts are replaced by a digest."""

_SHOWN_ANYWAY = ("dataset", "epochs", "rounds", "seeds", "mask-epochs", "task-epochs", "sparse-epochs", "graph-epochs")
"""Fields whose values appear elsewhere in a caption."""


def title_of(data: Dataset) -> str:
    """Return a data set's display name: the title of a published one, or the user's own name."""
    published = DATASETS.get(data.name)
    if published is None:
        return data.name
    return published.title if data.title == published.title else f"a data set of one's own named {data.name}"


def changes(experiment: Experiment, study: Study) -> dict[str, Any]:
    """Return the fields, with their values, that differ from the original protocol and matter for the study."""
    used = ids_needed(experiment, study)
    found = {
        change.name: change.value
        for change in differences(experiment.protocol)
        if change.name != "dataset" and _named(replace(experiment, protocol=change.undone), study) != used
    }
    named = experiment.protocol.named
    if named is not None and experiment.data.name != named.dataset:
        found = {"dataset": experiment.data.name} | found
    return found


def _named(experiment: Experiment, study: Study) -> frozenset[str] | None:
    """Return the ids of a study's results; None if it cannot be run with this protocol."""
    try:
        return ids_needed(experiment, study)
    except UsageError:
        return None


def label(experiment: Experiment, study: Study) -> str:
    """Return the protocol's name with the changes that matter for the study."""
    name, names = experiment.protocol.name, ", ".join(changes(experiment, study))
    return f"{name} (changed: {names})" if names else name


def caption(experiment: Experiment, study: Study) -> str:
    """Return a picture's caption: data set, protocol, seeds, version, and training lengths."""
    protocol = experiment.protocol
    network = TITLES.get(protocol.network, protocol.network)
    if study.of(GraphRun) and not study.of(SparseRun):
        graph = protocol.graph
        network = f"Neural graphs of {graph.nodes} nodes and {graph.edges:,} edges"
    said = [
        name if name in _SHOWN_ANYWAY else f"{name} {_value(value)}"
        for name, value in changes(experiment, study).items()
    ]
    changed = f" (changed: {', '.join(said)})" if said else ""
    tickets = f" · tickets also of {title_of(other)}" if (other := other_data(experiment, study)) else ""
    return (
        f"{network} on {title_of(experiment.data)}{tickets} · protocol {protocol.name}{changed}: "
        f"{' · '.join(lengths(experiment, study))} · {count(protocol.seeds, 'seed')} · {version_words()}"
    )


def other_data(experiment: Experiment, study: Study) -> Dataset | None:
    """Return the experiment's other data set if the study has runs on it."""
    return experiment.other_data if complete(study).of(There) else None


def stem(
    figure: str, shown_by_default: Sequence[str], experiment: Experiment, study: Study, names: Sequence[str]
) -> str:
    """Return a figure's file name without its ending, unique to what the figure shows and how it was trained.

    FIGURE-NETWORK-DATASET-PROTOCOL, where DATASET may be ONE-from-OTHER; then the protocol's changes; then what is
    shown, if that is not the default.
    """
    protocol = experiment.protocol
    data = experiment.data.name
    if other := other_data(experiment, study):
        data += f"-from-{other.name}"
    parts = [figure, protocol.network, _short(data, "data", data), protocol.name]
    changed = {name: value for name, value in changes(experiment, study).items() if name != "dataset"}
    if changed:
        words = "-".join(f"{name}-{_value(value)}" for name, value in changed.items())
        parts.append(_short(words, "changed", {name: _value(value) for name, value in changed.items()}))
    own = [name for name in names if name not in shown_by_default]
    if set(shown_by_default) <= set(names):
        parts += [_short(f"with-{'+'.join(sorted(own))}", f"with-{len(own)}", sorted(own))] if own else []
    else:
        chosen = [name for name in shown_by_default if name in names] + sorted(own)
        parts.append(_short("+".join(chosen), f"{len(chosen)}-lines", chosen))
    return "-".join(re.sub(r"[^\w.+-]+", "-", part).strip("-.") for part in parts)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {_value(each)}" for name, each in value.items())
    return number(value) if isinstance(value, float) else str(value)


def _short(words: str, kind: str, content: Any) -> str:
    """Return the words or, if they are long, their kind and a digest of the content."""
    if len(words.encode()) <= LONGEST:
        return words
    return f"{kind}-{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]}"
