"""A results folder that an older version wrote: it opens, it is complete, and nothing of it is made again.

`older/results.sql` is the database that commit e69ebe1 wrote, before kinds of results had modules of their own: one
run of every kind on the embedded digits, a few steps each. `older/arrays.json` has names, types and shapes of the
arrays that it stored beside it, whose content would be megabytes.
"""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from supermask.analysis.drawing.tables import tidy_table
from supermask.analysis.kinds import KINDS
from supermask.analysis.kinds.plan import ids_needed, missing_results
from supermask.analysis.kinds.schema import fault_of, fault_of_arrays
from supermask.analysis.kinds.shared_weight import SharedRun
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.criteria import CRITERIA
from supermask.learned_masks import LearnedMask
from supermask.named_members import BUILT_IN
from supermask.neural_graphs.runs import GraphRun
from supermask.sparse_training.runs import SparseRun

OLDER = Path(__file__).parent / "older"
CHANGES = Changes("digits", seeds=1, rounds=1, epochs=0.2, mask_epochs=0.2, sparse_epochs=2, graph_epochs=0.2)
STUDY = Study(
    (
        *(BUILT_IN.treatment("movement", kept="constant"), Untrained(CRITERIA["large_final"]), LearnedMask()),
        *(DSDRun(0.3), CompressionRun(), SharedRun(SparseRun("set", 0.1))),
    )
)
REVISED = Study((GraphRun("static"),))
"""What later code makes otherwise: the older results stay, under names of their own, and new ones are asked for."""

NEWER = {"barrier", "transfer", "sign_flips", "edge_swaps", "task_mask", "task_pair", "superposition"}
"""Kinds that came after that commit."""


class Unchanged(Store):
    """A store that nothing may be added to."""

    def add(self, results, made_with):
        raise AssertionError(f"{len(results)} results were made again")


@pytest.fixture
def store(tmp_path):
    database = sqlite3.connect(tmp_path / "results.sqlite")
    database.executescript((OLDER / "results.sql").read_text(encoding="utf-8"))
    database.close()
    with Unchanged(tmp_path) as store:
        yield store


@pytest.fixture(scope="module")
def experiment(digits):
    return Experiment(protocol("quick", changes=CHANGES), digits)


def test_an_older_folder_is_complete_and_nothing_is_made_again(store, experiment):
    everything = list(store.everything())
    assert {each.description["kind"] for each in everything} == {kind.name for kind in KINDS} - NEWER
    revised = {each.id for each in everything if each.description["kind"] == "neural_graph"}
    assert {each.id for each in everything} - revised == ids_needed(experiment, STUDY)
    assert missing_results(experiment, REVISED, store) == 1
    assert missing_results(experiment, STUDY, store) == 0
    told = []
    runner.run(experiment, STUDY, store, told.append)
    assert not any(done.work or done.results for done in told)


def test_what_an_older_folder_lacks_is_missed(store, experiment):
    """The test above can fail: results of another seed are all missing."""
    other = Experiment(experiment.protocol, experiment.data, (1,))
    assert missing_results(other, STUDY, store) == len(ids_needed(other, STUDY))


def arrays_of(layout):
    """Arrays of those names, types and shapes: zeros, but masks of as many ones as weights are stored beside them."""
    arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in layout.items()}
    for name, bits in arrays.items():
        part, _, layer = name.partition(".")
        if part in ("mask", "first", "halfway", "last"):
            kept = layout.get("edges.kernel" if layer == "edges" else f"kept.{layer}")
            arrays[name] = np.packbits(np.arange(8 * bits.size) < kept[1][0])
    return arrays


def test_an_older_folder_passes_verification_and_is_read_as_it_was(store):
    layouts = json.loads((OLDER / "arrays.json").read_text(encoding="utf-8"))
    for each in store.everything():
        arrays = arrays_of(layouts[each.id]) if each.id in layouts else None
        assert (each.arrays_sha256 is not None) == (arrays is not None)
        assert fault_of(each) is None
        if each.description["kind"] != "compression":  # whose array is a file, read by its content
            assert fault_of_arrays(each, arrays) is None, each.description
    table = tidy_table(store, ["kind=training", "metric=test_accuracy", "round=1"])
    assert table[["criterion", "kept", "pruned", "rate_dense"]].values.tolist() == [
        ["movement", "constant", "zero", pytest.approx(0.5904)]
    ]
