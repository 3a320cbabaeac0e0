"""Recipes as users write them and as results are named by them: files, options, descriptions, captions, tables."""

import itertools
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED, OK
from supermask.analysis.drawing import notebook as nb
from supermask.analysis.drawing.captions import caption, changes, stem
from supermask.analysis.drawing.tables import tidy_table
from supermask.analysis.kinds.plan import results_of, work_of
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.kinds.schema import fault_of_description, unknown_part
from supermask.analysis.kinds.shared_weight import SharedRun
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.studies.recipes import (
    SETTINGS,
    described,
    parse_augment,
    read_recipe,
    recipe_from,
    setting_words,
)
from supermask.analysis.system.errors import UsageError
from supermask.augmentation import Augmentation
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.named_members import BUILT_IN
from supermask.neural_graphs.runs import GraphRun
from supermask.normalisation import normalisation_of
from supermask.recipe import OPTIMISERS, PLAIN, Recipe
from supermask.restarts import Treatment
from supermask.sparse_training.runs import SparseRun

PAGE = Path(__file__).parent.parent / "docs" / "protocols.md"


@pytest.fixture
def file(tmp_path):
    """Writes a recipe's file."""

    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


RUNS = (
    SparseRun("set", 0.1),
    CompressionRun(bits=2),
    LearnedMask(),
    GraphRun("static"),
    SharedRun(SparseRun("set", 0.1)),
)
"""Runs with settings of their own."""


def settings():
    """Settings of recipes of every kind."""
    part = st.floats(0, 0.875, width=16)
    common = {
        "learning_rate": st.floats(1e-6, 1e3),
        "batch_size": st.integers(1, 1000),
        "weight_decay": part,
        "clip": st.floats(0, 1e3),
        "label_smoothing": part,
        "augment": st.none() | st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 5)),
        "normalise": st.booleans(),
    }
    rises = {"schedule": st.sampled_from(["constant", "cosine"]), "warm_up": part}
    falls = {
        "schedule": st.just("steps"),
        "warm_up": st.sampled_from([0.0, 0.1]),
        "cuts": st.sets(st.floats(0.125, 0.875), min_size=1, max_size=4).map(sorted).map(tuple),
        "cut_factor": st.floats(0.01, 0.9),
    }
    adam = {"optimiser": st.sampled_from(["adam", "adamw"])}
    sgd = {"optimiser": st.sampled_from(["sgd", "nesterov"]), "momentum": st.floats(0.1, 0.99)}
    return st.one_of(
        st.fixed_dictionaries(common | own | by) for own, by in itertools.product((rises, falls), (adam, sgd))
    )


@given(settings())
def test_a_description_gives_the_recipe_back(digits, chosen):
    """By way of JSON, as in the store."""
    augment = chosen["augment"] and Augmentation(*chosen["augment"])
    recipe = Recipe(**chosen | {"augment": augment})
    own = protocol("quick", changes=Changes(dataset="digits", recipe=recipe))
    (named,) = results_of(Experiment(own, digits), Unpruned(), 0)
    description = json.loads(json.dumps(named.description))
    assert recipe_from(description) == recipe
    assert fault_of_description(description) is None
    assert unknown_part(description) is None
    assert description["learning_rate"] == recipe.learning_rate
    assert description["batch_size"] == recipe.batch_size


def test_the_default_adds_nothing_to_a_description(digits):
    assert described(PLAIN, digits) == {}
    plain = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    (named,) = results_of(plain, Unpruned(), 0)
    assert named.description["optimiser"] == "adam"
    assert "recipe" not in named.description
    assert recipe_from(named.description) == Recipe(learning_rate=plain.protocol.learning_rate, batch_size=60)
    same = Recipe(learning_rate=plain.protocol.learning_rate, batch_size=60)
    stated = protocol("quick", changes=Changes(dataset="digits", recipe=same))
    assert results_of(Experiment(stated, digits), Unpruned(), 0) == (named,)


def test_a_normalised_result_tells_its_constants(digits):
    own = described(Recipe(normalise=True), digits)["recipe"]["normalise"]
    mean, deviation = normalisation_of(digits.train.images, digits.maximum)
    assert own == {"mean": list(mean), "deviation": list(deviation)}
    assert mean[0] == pytest.approx((digits.train.images / digits.maximum).mean(), rel=1e-3)


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_recipe_changes_what_is_trained_by_it_and_the_price_of_all_else(digits, run):
    """Sparse training, whose rate is SGD's own, and Deep Compression, which tunes by Adam, keep theirs.

    What they cost is told in steps of the rounds, which are twice as large.
    """
    plain = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    recipe = Recipe("sgd", learning_rate=0.1, batch_size=120)
    other = Experiment(replace(plain.protocol, recipe=recipe), digits)
    for before, after in zip(results_of(plain, run, 0), results_of(other, run, 0), strict=True):
        assert after == before
        assert work_of(other, after.description) == pytest.approx(work_of(plain, before.description) / 2)


@pytest.mark.parametrize(
    "part",
    [
        {"schedule": "linear"},
        {"momentum": 0.5},
        {"cuts": [0.3]},
        {"augment": {"pad": -1}},
        {"augment": 4},
        {"normalise": True},
        {"warm_up": "0.1"},
        "cosine",
    ],
)
def test_a_forged_recipe_is_a_fault(digits, part):
    experiment = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits)
    description = {**results_of(experiment, Unpruned(), 0)[0].description, "recipe": part}
    assert "recipe" in fault_of_description(description)
    later = description | {"recipe": {"lookahead": 5}}
    assert unknown_part(later) == "recipe.lookahead", "of a later version"


def test_only_plain_recipes_are_described_as_trained_on_live_weights(digits):
    """Long enough for live weights and dead units, whose code knows one recipe."""
    changes_ = Changes(dataset="digits", epochs=50, sparse_epochs=50)
    plain = Experiment(protocol("quick", changes=changes_), digits)
    other = Experiment(replace(plain.protocol, recipe=Recipe(schedule="cosine")), digits)
    assert {each.description["revision"] for each in results_of(plain, Treatment(), 0)} == {3}
    assert {each.description["revision"] for each in results_of(plain, DSDRun(0.9), 0)} == {2}
    assert {each.description["revision"] for each in results_of(other, Treatment(), 0)} == {2}
    assert {each.description["revision"] for each in results_of(other, DSDRun(0.9), 0)} == {1}


# Files and options


def example() -> str:
    """The complete file of the documentation."""
    (found,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    return found


def test_the_documented_file_names_every_setting(file):
    recipe = read_recipe(file(example()))
    keys = set(tomllib.loads(example()))
    assert keys == {name.replace("_", "-") for name in SETTINGS}
    assert set(tomllib.loads(example())["augment"]) == {"pad", "flip", "cut-out"}
    assert recipe.optimiser in OPTIMISERS
    assert recipe.normalise
    table = PAGE.read_text(encoding="utf-8")
    assert not [key for key in keys if f"`{key}" not in table]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "optimizer = 'sgd'",
            "key 'optimizer' is unknown (did you mean optimiser?); choose from: optimiser, l",
        ),
        ("learning_rate = 0.1", "key 'learning_rate' is unknown (did you mean learning-rate?)"),
        ("optimiser = 'lion'", "optimiser is 'lion'; allowed: adam, adamw, sgd, nesterov"),
        ("optimiser = 5", "optimiser is 5; allowed: adam"),
        ("learning-rate = '0.1'", "learning-rate is '0.1'; allowed: a number"),
        ("learning-rate = -1", "learning-rate is -1.0; allowed: more than 0"),
        ("batch-size = 1.5", "batch-size is 1.5; allowed: 1 or more, a whole number"),
        ("normalise = 1", "normalise is 1; allowed: True, False"),
        ("cuts = 0.5", "cuts is 0.5; allowed: fractions of the training"),
        ("cuts = ['a']", "cuts is 'a'; allowed: a number"),
        ("schedule = 'steps'\ncuts = [0.75, 0.5]", "cuts is (0.75, 0.5); allowed: fractions of the training"),
        ("cut-factor = 0.5", "cut-factor is 0.5 for schedule 'constant'; allowed for 'steps' alone"),
        ("warm-up = 2", "warm-up is 2.0; allowed: 0 or more, below 1"),
        ("augment = true", "augment is True; allowed: a table with pad, flip and cut-out"),
        ("[augment]\ncrop = 4", "key of augment 'crop' is unknown; choose from: pad, flip, cut-out"),
        ("[augment]\npad = -4", "augment: pad is -4; allowed: 0 or more"),
        ("[augment]\ncut-out = '4'", "augment: cut-out is '4'; allowed: 0 or more"),
        ("[augment]", "which changes nothing; allowed: None, or one that does"),
        ("optimiser", "is not TOML: "),
        ("weight-decay = 1e-4\nweight-decay = 1e-4", "is not TOML: "),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_file_key_and_value(file, text, words, unchecked):
    path = file(text)
    with pytest.raises(UsageError) as error:
        read_recipe(path)
    assert words in str(error.value)
    assert str(error.value).startswith(f"recipe file {path}")
    assert "\n" not in str(error.value).partition("TOML")[0]


@given(st.builds(Augmentation, st.integers(0, 9), st.booleans(), st.integers(0, 9)))
def test_an_augmentation_is_written_as_it_is_read(how):
    if how != Augmentation(0, flip=False):
        assert parse_augment(setting_words(how)) == how
    assert parse_augment("none") is None
    assert setting_words(None) == "none"


def test_a_file_says_less_than_the_options_beside_it(file, capsys):
    path = file("optimiser = 'sgd'\nlearning-rate = 0.1\nweight-decay = 1e-4\n[augment]\npad = 1\n")
    words = ["figures", "mask-criteria", "dsd", "sparse-training", "--dataset", "digits", "--recipe", str(path)]
    assert run_command([*words, "--weight-decay", "0.5", "--augment", "none"], CATALOGUE) == OK
    said = " ".join(capsys.readouterr().out.split())
    assert "quick (changed: dataset, optimiser, learning-rate, weight-decay)" in said
    assert "note: recipe does not matter to sparse-training" in said
    assert "note: weight-decay does not matter to sparse-training" in said
    assert run_command(["figures", "sparse-training", "--recipe", str(path)], CATALOGUE) == MISUSED
    assert "recipe is given, but sparse-training would not change by it; allowed: " in capsys.readouterr().err
    path = file("batch-size = 60")
    assert run_command(["figures", "dsd", "--dataset", "digits", "--recipe", str(path)], CATALOGUE) == OK
    assert "quick (changed: dataset)" in " ".join(capsys.readouterr().out.split()), "it is the protocol's"


def test_a_caption_names_a_recipes_settings_and_files_are_named_after_them(digits):
    recipe = Recipe("sgd", 0.1, schedule="steps", cuts=(0.3, 0.6), augment=Augmentation(4, cut_out=2), normalise=True)
    own = Experiment(protocol("quick", changes=Changes(dataset="digits", recipe=recipe)), digits)
    study = Study((Treatment(),))
    assert changes(own, study) == {
        "dataset": "digits",
        "optimiser": "sgd",
        "learning-rate": "0.1",
        "schedule": "steps",
        "cuts": "0.3,0.6",
        "augment": "pad=4,flip,cut-out=2",
        "normalise": "true",
    }
    assert "optimiser sgd, learning-rate 0.1, schedule steps, cuts 0.3,0.6, augment pad=4,flip" in caption(own, study)
    named = {
        stem("f", (), each, study, ()) for each in (own, replace(own, protocol=replace(own.protocol, recipe=PLAIN)))
    }
    assert len(named) == 2
    nearly = [
        replace(own, protocol=replace(own.protocol, recipe=replace(recipe, learning_rate=rate)))
        for rate in (0.10000001, 0.10000002)
    ]
    assert len({stem("f", (), each, study, ()) for each in nearly}) == 2, "numbers are written to the last digit"


# From one end to the other


def test_a_figure_is_trained_by_a_recipe(file, tmp_path, capsys, monkeypatch):
    """By the command: drawn, found again, tabulated, exported; a notebook with the same recipe finds it stored."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    path = file(
        "optimiser = 'nesterov'\nlearning-rate = 0.1\nschedule = 'cosine'\nnormalise = true\nlabel-smoothing = 0.1\n"
        "weight-decay = 1e-4\nclip = 5\n[augment]\ncut-out = 2\n"
    )
    words = [
        "reproduce",
        "mask-criteria",
        "--criteria",
        "random",
        "--dataset",
        "digits",
        "--seeds",
        "1",
        "--rounds",
        "1",
    ]
    words += ["--epochs", "6", "--recipe", str(path), "--batch-size", "40", "--results", "here"]
    assert run_command(words, CATALOGUE) == OK
    said = " ".join(capsys.readouterr().out.split())
    assert "0 of 2 trainings" in said
    (table,) = (tmp_path / "here" / "figures").glob("mask-criteria*.csv")
    assert pd.read_csv(table)["test_accuracy"].iloc[0] > 0.9
    with Store(tmp_path / "here", for_reading=True) as store:
        rows = tidy_table(store, [])
        assert set(rows["optimiser"]) == {"nesterov"}
        assert set(rows["batch_size"]) == {40}
        (said,) = set(rows["recipe"])
        for setting in ("schedule=cosine", "weight-decay=0.0001", "clip=5", "augment=cut-out=2", "normalise"):
            assert setting in said.split()
    id_ = rows["id"].iloc[0]
    assert run_command(["export", id_, "out.npz", "--results", "here"], CATALOGUE) == OK
    mean = np.round(normalisation_of(*digits_train())[0][0], 6)
    assert f"for pixels in 0..1 minus {mean:g} over " in capsys.readouterr().out
    recipe, runs = replace(read_recipe(path), batch_size=40), [BUILT_IN.treatment("random")]
    plan = nb.describe(runs, "here", dataset="digits", seeds=1, rounds=1, epochs=6, recipe=recipe)
    assert plan.missing == 0
    other = nb.describe(runs, "here", dataset="digits", seeds=1, rounds=1, epochs=6, recipe=str(path))
    assert other.missing == 2


def digits_train():
    from supermask.datasets import load

    data = load("digits")
    return data.train.images, data.maximum
