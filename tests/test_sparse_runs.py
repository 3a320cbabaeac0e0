"""Sparse trainings, compressed networks and dense-sparse-dense in the store: once, resumed, and in the tables."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from supermask.analysis.drawing import plots
from supermask.analysis.drawing.figure import collapsed, write
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.tables import tidy_table
from supermask.analysis.kinds import kind_of, sparse_training
from supermask.analysis.kinds.plan import results_of, workload
from supermask.analysis.kinds.sparse_training import decode_masks, decode_params, network_of
from supermask.analysis.running import runner
from supermask.analysis.store.provenance import provenance
from supermask.analysis.store.store import Result, Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import UsageError
from supermask.compression.dsd import DSDRun
from supermask.compression.file import decompress
from supermask.compression.quantisation import expand
from supermask.compression.runs import CompressionRun
from supermask.figures import sparse_training as sparse_figure
from supermask.lottery import initial_of
from supermask.networks import NETWORKS, FeedForward, kernels_of
from supermask.sparse_training.runs import SMALL_DENSE, SMALL_SHAPES, SparseRun, small_dense

RUNS = (SparseRun("dsr", 0.1), SparseRun(density=0.1, structure="dsr", start="fresh"), SparseRun(SMALL_DENSE, 0.1))
COMPRESSED = (CompressionRun(), CompressionRun(bits=2, pruned=False))
STUDY = Study((*RUNS, SparseRun(), DSDRun(), DSDRun(0.5), *COMPRESSED))


@pytest.fixture(scope="module")
def experiment(digits):
    return Experiment(protocol("quick", changes=Changes(dataset="digits", seeds=2, sparse_epochs=4)), digits)


@pytest.fixture(scope="module")
def stored(experiment, tmp_path_factory):
    """Everything of the study, and what was told of it."""
    told = []
    with Store(tmp_path_factory.mktemp("results")) as store:
        runner.run(experiment, STUDY, store, told.append)
        yield store, told


def test_everything_is_stored_and_told_of(experiment, stored):
    store, told = stored
    load = workload(experiment, STUDY, store)
    needed = {"sparse_training": 10, "dsd": 4, "compression": 4}
    assert {kind: load.counts[kind].stored for kind in needed} == needed
    for kind, count in needed.items():
        assert sum(done.results for done in told if done.kind == kind) == count
    steps = sparse_training.training_of(experiment).steps
    # Two runs share the first phase of dense-sparse-dense.
    assert sum(done.work for done in told) == 10 * steps + 2 * steps + 2 * 2 * 2 * steps + 4 * (steps // 10)


def test_what_is_stored_is_not_trained_again(experiment, stored, monkeypatch):
    store, _ = stored
    monkeypatch.setattr(sparse_training, "SparseTrainer", None)
    monkeypatch.setattr("supermask.analysis.kinds.compression.Trainer", None)
    monkeypatch.setattr("supermask.analysis.kinds.dsd.Trainer", None)
    runner.run(experiment, STUDY, store)


def test_a_structure_is_trained_from_scratch_with_its_mask(experiment, stored):
    store, _ = stored
    start = initial_of(NETWORKS["fc"], 1, (8, 8, 1))
    arrays = [store.arrays(results_of(experiment, run, 1)[0].id) for run in RUNS[:2]]
    found = decode_masks(arrays[0], "last", start)
    first, last = (decode_masks(arrays[1], part, start) for part in ("first", "last"))
    for layer in found:
        np.testing.assert_array_equal(first[layer], found[layer])
        np.testing.assert_array_equal(last[layer], found[layer])
    masks, params = decode_params(arrays[1], start)
    for layer, kernel in kernels_of(params).items():
        assert not np.asarray(kernel)[~np.asarray(masks[layer])].any()
    metrics = store.metrics(results_of(experiment, RUNS[0], 1)[0].id)
    assert metrics["live_weights"] == 5020
    assert 0 < metrics["kept_from_start"] < 1


def test_the_small_dense_network_has_no_more_weights_and_nearly_as_many(experiment):
    network = network_of(experiment, RUNS[2])
    weights = sum(first * second for first, second in pairwise([64, *network.hidden, 10]))
    assert 0.9 * 5020 < weights <= 5020
    assert network.hidden[0] / network.hidden[1] == pytest.approx(3, abs=0.2)
    assert small_dense(FeedForward(), (28, 28, 1), 10).hidden == (1, 1)
    with pytest.raises(ValueError, match="convolutions"):
        small_dense(NETWORKS["lenet5"], (28, 28, 1), 1000)


SHAPE_SIZES = {0.9: (239_580, (272, 91)), 0.2: (53_240, (65, 22)), 0.02: (5_324, (6, 2)), 0.01: (2_662, (3, 1))}


@pytest.mark.parametrize("density", SHAPE_SIZES)
@pytest.mark.parametrize("shape", SMALL_SHAPES)
def test_shapes_of_small_dense_networks_are_as_large_as_the_weights_allow(density, shape):
    weights, proportional = SHAPE_SIZES[density]
    hidden = small_dense(FeedForward(), (28, 28, 1), weights, shape).hidden

    def size(first, second):
        return 784 * first + first * second + second * 10

    assert size(*hidden) <= weights
    if shape == "proportional":
        assert hidden == proportional
    elif shape == "equal":
        assert hidden[0] == hidden[1]
        assert size(hidden[0] + 1, hidden[1] + 1) > weights
    else:
        assert hidden[0] == small_dense(FeedForward(), (28, 28, 1), weights, "equal").hidden[0]
        assert hidden[1] >= hidden[0]
        assert size(hidden[0], hidden[1] + 1) > weights


def test_compression_starts_at_a_trained_network_at_the_recipes_bits():
    assert CompressionRun() == CompressionRun(bits=0)
    assert CompressionRun().source == SparseRun("magnitude_pruning", distribution="paper", start="trained")
    assert CompressionRun("further").source == SparseRun("magnitude_pruning", distribution="further", start="trained")
    assert CompressionRun(pruned=False).source == SparseRun()


def test_only_new_kinds_of_sparse_runs_have_new_names(experiment):
    """Names that results have had since they were first stored: fields that came later are left out of them."""
    kept = {
        SparseRun("rigl", 0.05): {"method": "rigl", "density": 0.05},
        SparseRun("dsr", 0.05, "erk"): {"method": "dsr", "density": 0.05},
        SparseRun(SMALL_DENSE, 0.05): {"method": "small_dense", "density": 0.05},
        SparseRun("magnitude_pruning", distribution="paper", start="trained"): {
            "method": "magnitude_pruning",
            "distribution": "paper",
            "start": "trained",
        },
        SparseRun(): {},
        SparseRun("dsr", 0.05): {"method": "dsr", "density": 0.05, "distribution": "uniform"},
        SparseRun(density=0.05, structure="dsr"): {"density": 0.05, "distribution": "uniform", "structure": "dsr"},
        SparseRun(SMALL_DENSE, 0.05, shape="equal"): {"method": "small_dense", "density": 0.05, "shape": "equal"},
    }
    assert {run: results_of(experiment, run, 0)[0].description["sparse"] for run in kept} == kept


def test_the_small_dense_network_shown_is_each_seeds_best_on_validation_data(experiment, tmp_path):
    """Test accuracies are made to say the opposite: they must not be asked."""
    study = sparse_figure.study(Shown((sparse_figure.SMALL,)))
    best = {0: "widening", 1: "equal"}
    with Store(tmp_path) as store:
        for run in study.of(SparseRun):
            for seed in experiment.seeds:
                chosen = run.method != SMALL_DENSE or run.shape == best[seed]
                metrics = dict.fromkeys(kind_of(run).metrics, 0.5)
                metrics |= {"validation_accuracy": 0.9 if chosen else 0.8, "test_accuracy": 0.7 if chosen else 0.95}
                store.add([Result(results_of(experiment, run, seed)[0].description, metrics, None, 0.0)], provenance())
        table = sparse_figure.tabulate(Results(experiment, study, store, Shown((sparse_figure.SMALL,))))
    small = table[table["line"] == sparse_figure.SMALL]
    assert len(small) == 2 * len(sparse_figure.DENSITIES)
    assert set(zip(small["seed"], small["shape"], strict=True)) == set(best.items())
    assert set(small["test_accuracy"]) == {0.7}


def test_the_file_on_disk_is_what_was_measured(experiment, stored):
    store, _ = stored
    for run in COMPRESSED:
        metrics = store.metrics(results_of(experiment, run, 0)[0].id)
        path = store.folder / "compressed" / f"{results_of(experiment, run, 0)[0].id}.deep"
        assert path.stat().st_size == metrics["file_bytes"]
        assert path.read_bytes() == store.arrays(results_of(experiment, run, 0)[0].id)["file"].tobytes()
        name, quantised = decompress(path.read_bytes())
        assert name == "fc"
        for layer, leaves in expand(quantised).items():
            live = np.asarray(quantised.masks[layer])
            assert len(np.unique(np.asarray(leaves["kernel"])[live])) <= quantised.codebooks[layer].size
        assert metrics["compression"] == metrics["dense_bytes"] / metrics["file_bytes"]
    assert metrics["compression"] > 10  # 2 bits in place of 32, coded


def test_the_tidy_table_has_every_kind(stored):
    store, _ = stored
    table = tidy_table(store, ["metric=test_accuracy"])
    assert table["kind"].value_counts().to_dict() == {"sparse_training": 10, "dsd": 4, "compression": 4}
    fresh = table[(table["structure"] == "dsr") & (table["start"] == "fresh")]
    assert sorted(fresh["seed"]) == [0, 1]
    assert set(table.loc[table["kind"] == "dsd", "sparsity"]) == {0.0, 0.5}
    assert table.loc[table["kind"] == "compression", "bits"].str.contains("hidden1=").all()


@pytest.mark.parametrize(
    ("epochs", "run"), [(0, SparseRun("magnitude_pruning", 0.1)), (1, SparseRun("sparse_momentum"))]
)
def test_sparse_epochs_too_few_for_a_method_are_refused(digits, epochs, run):
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits", sparse_epochs=epochs)), digits)
    message = f"sparse-epochs is {epochs}, for {run.method}: steps are .*; the method never changes its mask in so few"
    with pytest.raises(UsageError, match=message):
        results_of(experiment, run, 0)
    results_of(experiment, SparseRun(density=0.1), 0)


def test_networks_that_learned_nothing_are_counted():
    """Of ten classes: the loss of a guess is ln 10. What was never trained does not count."""
    table = pd.DataFrame(
        {"early_stop_step": [0, 900, 900, np.nan], "validation_loss": [2.31, 2.301, 2.2, 2.4], "test_accuracy": 0.1}
    )
    assert collapsed(table, 10) == 2
    assert collapsed(table, 2) == 3
    assert collapsed(table[["test_accuracy"]], 10) == 0


def test_a_picture_says_how_many_learned_nothing(experiment, tmp_path):
    drawing = replace(sparse_figure.FIGURE, draw=lambda table, frame: plots.new_picture(1, frame)[0])
    figure = drawing.named("sparse-training", "Sparse training")
    names = Shown(figure.names[:1])
    table = pd.DataFrame({"early_stop_step": [0, 900, 900], "validation_loss": [2.31, 2.301, 0.2]})
    said = write(figure, names, table, experiment, tmp_path)[1].read_text()
    assert "2 of 3 collapsed: they learned nothing" in " ".join(said.split())
    assert "collapsed" not in write(figure, names, table[2:], experiment, tmp_path)[1].read_text()


def test_networks_without_a_recipe_are_refused(digits):
    experiment = Experiment(protocol("quick", "conv2", Changes(dataset="digits")), digits)
    with pytest.raises(UsageError, match="'conv2' is unknown"):
        results_of(experiment, CompressionRun(), 0)
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    with pytest.raises(UsageError, match="distribution 'papre' is unknown"):
        results_of(experiment, SparseRun("magnitude_pruning", distribution="papre"), 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "rigle"}, "method is 'rigle'"),
        ({"density": 0.0}, "density is 0"),
        ({"distribution": "even"}, "distribution is 'even'"),
        ({"method": "set", "structure": "dsr"}, "structure is 'dsr' for method 'set'"),
        ({"start": "late"}, "start is 'late'"),
        ({"method": "small_dense", "shape": "square"}, "shape is 'square'"),
        ({"method": "dsr", "shape": "equal"}, "shape is 'equal' for method 'dsr'; allowed for small_dense alone"),
    ],
)
def test_impossible_runs_are_refused_by_name(fields, message):
    with pytest.raises(ValueError, match=message):
        SparseRun(**fields)
