"""The tidy table, and merging: nothing double, nothing lost, conflicts refused."""

import json
import sqlite3

import numpy as np
import pandas as pd
import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED, OK
from supermask.analysis.command.merging import merge
from supermask.analysis.drawing.tables import tidy_table
from supermask.analysis.drawing.tidy_cells import COLUMNS
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.running import runner
from supermask.analysis.store.identity import identity
from supermask.analysis.store.store import Result, Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import StoreError, UsageError
from supermask.criteria import CRITERIA
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.named_members import BUILT_IN
from supermask.sparse_training.runs import SMALL_DENSE, SMALL_SHAPES, SparseRun


def fill(folder, digits, seeds: int, criterion: str) -> None:
    changes = Changes(dataset="digits", epochs=1, rounds=1, seeds=seeds)
    study = Study((BUILT_IN.treatment(criterion), Untrained(CRITERIA[criterion])))
    with Store(folder) as store:
        runner.run(Experiment(protocol("quick", changes=changes), digits), study, store)


@pytest.fixture(scope="module")
def folders(digits, tmp_path_factory):
    """Two folders that share round 0 of seed 0."""
    base = tmp_path_factory.mktemp("folders")
    fill(base / "first", digits, 1, "movement")
    fill(base / "second", digits, 2, "random")
    return base


def test_a_row_a_result_and_metric_with_the_whole_description(folders):
    with Store(folders / "first") as store:
        table = tidy_table(store)
    assert tuple(table.columns) == COLUMNS
    assert not table.duplicated(["id", "metric"]).any()
    assert table["id"].nunique() == 1 + 1 + 2
    pruned = table[(table["criterion"] == "movement") & (table["kind"] == "training")]
    assert set(pruned["kept"]) == {"rewind"}
    assert set(pruned["rate_dense"]) == {0.5904}
    assert set(table[table["kind"] == "untrained"]["round"]) == {0, 1}
    assert table[["jax", "numpy", "backend", "data_digest"]].notna().all().all()


def test_a_mask_learned_with_the_factor_held_constant_is_told_from_others(digits, results_folder):
    """As all rescaled masks were until revision 4, whose descriptions do not say so."""
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    present = results_of(experiment, LearnedMask(rescaled=True), 0)[0].description
    held = results_of(experiment, LearnedMask(rescaled=True, through_factor=False), 0)[0].description
    plain = results_of(experiment, LearnedMask(), 0)[0].description
    expected = [(present, True), (present | {"revision": 3}, False), (held, False), (plain, None)]
    with Store(results_folder) as store:
        store.add([Result(description, {"test_accuracy": 0.5}, None, 0.0) for description, _ in expected], {})
        table = tidy_table(store).set_index("id")["through_factor"]
    for description, value in expected:
        found = table[identity(description)]
        assert found is pd.NA if value is None else bool(found) is value


def test_the_shape_of_a_small_dense_network_is_told(digits, results_folder):
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    runs = [SparseRun(SMALL_DENSE, 0.1, shape=shape) for shape in SMALL_SHAPES]
    with Store(results_folder) as store:
        results = [
            Result(results_of(experiment, run, 0)[0].description, {"test_accuracy": 0.5}, None, 0.0) for run in runs
        ]
        store.add(results, {})
        assert set(tidy_table(store)["shape"]) == set(SMALL_SHAPES)


def test_a_result_under_a_former_rule_is_listed_under_that_rules_present_name(digits, results_folder):
    """So that no question to the table takes old and new results of one name for the same."""
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    present = results_of(experiment, BUILT_IN.treatment("large_init_large_final"), 0)[0].description
    former = {name: part for name, part in present.items() if name != "rules"}
    renamed = former | {"treatment": {"criterion": "large_init_large_final_percentile"}}
    untrained = dict(results_of(experiment, Untrained(CRITERIA["magnitude_increase_same_sign"]), 0)[1].description)
    del untrained["rules"]
    frozen = results_of(experiment, BUILT_IN.treatment(kept="rewind_or_zero", pruned="zero_if_shrunk"), 0)[
        0
    ].description
    once_frozen = {name: part for name, part in frozen.items() if name != "rules"}
    with Store(results_folder) as store:
        for at, description in enumerate((present, former, renamed, untrained, frozen, once_frozen)):
            store.add([Result(description, {"test_accuracy": at / 10}, None, 0.0)], {})
        table = tidy_table(store).set_index("value")
    assert table["criterion"].to_dict() == {
        0.0: "large_init_large_final",
        0.1: "large_init_large_final_std_scaled",
        0.2: "large_init_large_final",
        0.3: "magnitude_increase_same_sign_strict",
        0.4: "large_final",
        0.5: "large_final",
    }
    assert table["kept"].loc[[0.0, 0.4, 0.5]].tolist() == ["rewind", "rewind_or_zero", "rewind_or_zero (revision 1)"]
    assert table["pruned"].loc[[0.4, 0.5]].tolist() == ["zero_if_shrunk"] * 2


def test_conditions_choose_rows(folders):
    with Store(folders / "first") as store:
        table = tidy_table(store, ["metric=test_accuracy", "kind=training"])
        assert len(table) == 2
        assert tidy_table(store, ["criterion=none"]).empty
        with pytest.raises(UsageError, match="it should read like criterion=large_final"):
            tidy_table(store, ["criterion"])
        with pytest.raises(UsageError, match=r"where 'criterium' is unknown \(did you mean criterion\?\)"):
            tidy_table(store, ["criterium=random"])


def test_merging_takes_over_what_is_new_and_recognises_what_is_not(folders, tmp_path):
    with Store(tmp_path / "merged") as store:
        assert merge(store, folders / "first") == (4, 0)
        assert merge(store, folders / "second") == (2 + 2 + 4 - 1, 1), "round 0 of seed 0 is in both"
        assert merge(store, folders / "second") == (0, 8)
        tables = []
        for name in ("first", "second"):
            with Store(folders / name) as source:
                tables.append(tidy_table(source))
                for result in source.everything():
                    if result.arrays_sha256:
                        theirs, ours = source.arrays(result.id), store.arrays(result.id)
                        assert all(np.array_equal(theirs[n], ours[n], equal_nan=True) for n in theirs)
        expected = pd.concat(tables).drop_duplicates(["id", "metric"])
        found = tidy_table(store)
        columns = ["id", "metric", "value"]
        pd.testing.assert_frame_equal(
            found[columns].sort_values(columns, ignore_index=True),
            expected[columns].sort_values(columns, ignore_index=True),
        )


def test_a_conflict_is_refused_with_both_provenances_before_anything_is_copied(folders, tmp_path, digits):
    fill(tmp_path / "mine", digits, 1, "movement")
    with sqlite3.connect(tmp_path / "mine" / "results.sqlite") as database:
        rows = database.execute("SELECT id, metrics FROM results").fetchall()
        for id_, metrics in rows:
            changed = json.dumps(json.loads(metrics) | {"test_accuracy": 0.123}, sort_keys=True)
            database.execute("UPDATE results SET metrics = ? WHERE id = ?", (changed, id_))
        made = json.loads(database.execute("SELECT made_with FROM provenance").fetchone()[0])
        database.execute("UPDATE provenance SET made_with = ?", (json.dumps(made | {"jax": "0.0"}),))
        database.execute("DROP TABLE digests")  # as a folder of a version that wrote none
    database.close()
    with Store(tmp_path / "mine") as store:
        before = len(list(store.everything()))
        with pytest.raises(StoreError, match=r"differs between .*0\.1230 here.*jax: '0\.0' here"):
            merge(store, folders / "first")
        assert len(list(store.everything())) == before


def test_merging_what_is_no_results_folder_is_refused(tmp_path):
    with Store(tmp_path / "mine") as store, pytest.raises(UsageError, match="is not a results folder"):
        merge(store, tmp_path)


def test_the_command_writes_the_table_and_merges(folders, tmp_path, capsys):
    arguments = ["results", "--results", str(folders / "first"), "--csv", str(tmp_path / "all.csv")]
    assert run_command([*arguments, "--where", "metric=test_accuracy"], CATALOGUE) == OK
    assert len(pd.read_csv(tmp_path / "all.csv")) == 4
    merged = ["results", "--results", str(tmp_path / "new"), "--merge", str(folders / "first")]
    assert run_command(merged, CATALOGUE) == OK
    assert "4 results taken over" in capsys.readouterr().out
    assert run_command(["results", "--results", str(tmp_path / "none")], CATALOGUE) == MISUSED
    assert "is not a results folder" in capsys.readouterr().err
    before = sorted(tmp_path.iterdir())
    newer = ["results", "--results", str(tmp_path / "newer"), "--merge"]
    for wrong in ([str(tmp_path / "nowhere")], [str(folders / "first"), "--where", "rounds=1"]):
        assert run_command([*newer, *wrong], CATALOGUE) == MISUSED
        assert sorted(tmp_path.iterdir()) == before, "no folder is made where nothing is taken over"
