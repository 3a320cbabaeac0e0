"""A training that diverges is a result: stored, read, pruned from, drawn, tabulated and counted as such."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from supermask.analysis.drawing.figure import diverged, write
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.tables import tidy_table
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.figures.catalogue import CATALOGUE
from supermask.restarts import Treatment


@pytest.fixture(scope="module")
def study(digits, tmp_path_factory):
    """Two rounds at a learning rate that leads nowhere, and the store that they lie in."""
    own = protocol("quick", changes=Changes(dataset="digits", epochs=1, rounds=2, seeds=1))
    experiment = Experiment(replace(own, learning_rate=1e30), digits)
    figure = CATALOGUE["mask-criteria"].load()
    names = ("large_final", "random")
    folder = tmp_path_factory.mktemp("diverged")
    with Store(folder) as store:
        runner.run(experiment, figure.study(Shown(names)), store)
        yield experiment, figure, Results(experiment, figure.study(Shown(names)), store, Shown(names))


def test_it_is_stored_with_what_is_no_number_as_such(study):
    experiment, _, results = study
    last = results_of(experiment, Treatment(), 0)[-1].id
    for metrics in (results.metrics(Unpruned(), 0), results.store.metrics(last)):
        assert math.isnan(metrics["test_loss_at_end"])
        assert math.isfinite(metrics["test_accuracy_at_end"])
        assert metrics["early_stop_step"] == 0, "what was best was the start"
    masks, _ = results.end_of_round(Treatment(), 0, 2)
    kept = sum(int(np.sum(mask)) for mask in masks.values()) / sum(mask.size for mask in masks.values())
    expected = results.store.metrics(last)["weights_remaining"]
    assert kept == pytest.approx(expected), "masks of weights that are no numbers have their exact counts"


def test_it_is_drawn_and_counted(study, tmp_path):
    experiment, figure, results = study
    table = figure.tabulate(results)
    assert diverged(table) == len(table) == 5
    paths = write(figure, results.shown, table, experiment, tmp_path)
    assert "5 of 5 diverged" in paths[1].read_text()
    assert pd.read_csv(paths[0])["test_loss_at_end"].isna().all()
    assert len(figure.summarise(table))


def test_it_is_in_the_tidy_table(study):
    table = tidy_table(study[2].store, ["metric=test_loss_at_end"])
    assert len(table) == 5
    assert table["value"].isna().all()


def test_nothing_else_counts_as_diverged(study):
    _, figure, results = study
    table = figure.tabulate(results).fillna(0.0)
    table["effect"] = math.nan
    assert diverged(table) == 0


def test_where_its_weights_went_is_said_by_no_number(study, tmp_path):
    """A comparison with NaN is false: that none moved toward zero would be a statement."""
    experiment, _, results = study
    for name in ("weight-movement", "criteria-plane"):
        figure = CATALOGUE[name].load()
        own = Results(experiment, figure.study(results.shown), results.store, results.shown)
        table = figure.tabulate(own)
        write(figure, own.shown, table, experiment, tmp_path)
        summary = figure.summarise(table)
        assert len(summary) == 2
        assert name == "criteria-plane" or summary.isna().all(axis=None)
