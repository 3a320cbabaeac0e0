"""Captions, tables and file names say what was used: by the data set and the protocol, not by what they are called."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import supermask
from supermask.analysis.drawing.captions import LONGEST, caption, changes, label, stem, title_of
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.kinds.superposition import Superposed
from supermask.analysis.kinds.tasks import TaskMasks
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.store.provenance import provenance
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.augmentation import Augmentation
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.criteria import CRITERIA
from supermask.datasets import DATASETS, Dataset, Split, dataset_digest
from supermask.learned_masks import LearnedMask
from supermask.neural_graphs.runs import GraphRun
from supermask.recipe import Recipe
from supermask.restarts import Treatment
from supermask.sparse_training.runs import SparseRun

TRAINED = Study((Treatment(),))
STUDIES = {
    "trainings": TRAINED,
    "round 0": Study((Unpruned(),)),
    "masks": Study((Untrained(CRITERIA["random"]),)),
    "learned": Study((LearnedMask(),)),
    "learned by rank": Study((LearnedMask(method="edge_popup"),)),
    "tasks": Study((TaskMasks("pixels"), Superposed())),
    "sparse": Study((SparseRun("dsr", 0.1),)),
    "dsd": Study((DSDRun(0.5),)),
    "compressed": Study((CompressionRun(),)),
    "graphs": Study((GraphRun("static"),)),
}


def own_data(name: str) -> Dataset:
    """Random images, as a user would bring them."""
    random = np.random.default_rng(0)
    split = Split(random.integers(0, 256, (6000, 4, 4, 1)).astype(np.uint8), np.arange(6000, dtype=np.int32) % 10)
    return Dataset(name, split, split, split, 255, 10, "", "made of arrays")


def test_a_data_set_of_ones_own_is_captioned_by_its_own_name():
    experiment = Experiment(protocol("quick"), own_data("beetles"))
    said = caption(experiment, TRAINED)
    assert said.startswith("FC on beetles · protocol quick (changed: dataset): ")
    assert "MNIST" not in said
    assert "mnist" not in stem("mask-criteria", ("a",), experiment, TRAINED, ("a",))


def test_the_protocols_own_rate_is_no_change_as_it_is_printed():
    """2.5 times 0.0012 is 0.0029999999999999996."""
    experiment = Experiment(protocol("quick"), own_data("beetles"))
    rate = experiment.protocol.learning_rate
    assert rate != 0.003
    given = Experiment(protocol("quick", changes=Changes(recipe=Recipe(learning_rate=0.003))), own_data("beetles"))
    assert caption(given, TRAINED) == caption(experiment, TRAINED)
    assert given.config(1, given.protocol.recipe.learning_rate).learning_rate == rate


@pytest.mark.parametrize(
    ("commit", "words"), [(None, ""), ("0123456789ab", " (0123456)"), ("0123456789ab+", " (0123456+)")]
)
def test_a_commit_whose_files_were_changed_is_marked(commit, words, monkeypatch):
    made_with = provenance() | {"commit": commit}
    monkeypatch.setattr("supermask.analysis.store.provenance.provenance", lambda: made_with)
    experiment = Experiment(protocol("quick"), own_data("beetles"))
    assert caption(experiment, TRAINED).endswith(f"supermask {supermask.__version__}{words}")


def test_a_published_name_does_not_make_a_published_data_set(digits):
    assert title_of(digits) == DATASETS["digits"].title
    for impostor in (own_data("mnist"), replace(digits, name="mnist")):
        assert title_of(impostor) == "a data set of one's own named mnist"
    assert title_of(replace(digits, name="beetles")) == "beetles"


def test_a_data_set_has_the_digest_of_its_content(digits):
    """One made from another keeps its digest: its results would be taken for the other's."""
    half = Split(digits.train.images[:500], digits.train.labels[:500])
    for digest in (digits.digest, "5" * 64, digits.digest.upper(), "none"):
        with pytest.raises(ValueError, match=r"digest of data set 'half of them' is .* allowed: that of its content"):
            replace(digits, name="half of them", train=half, digest=digest)
    own = replace(digits, name="half of them", train=half, digest="")
    assert own.digest == dataset_digest(half, own.validation, own.test, maximum=own.maximum) != digits.digest
    assert replace(digits, name="the same under another name").digest == digits.digest


@pytest.mark.parametrize("name", ["", " ", "a\x1b[31m", "\ud800", "two\nlines"])
def test_a_data_set_has_a_name_that_can_be_printed(digits, name):
    with pytest.raises(ValueError, match=r"^name is .*; allowed: printable text, not empty"):
        replace(digits, name=name)


CHANGED = {
    "learning-rate": ("trainings", "round 0", "masks", "dsd", "compressed"),
    "batch-size": ("trainings", "round 0", "masks", "sparse", "dsd", "compressed"),
    "evaluate-every": ("trainings", "round 0", "masks", "sparse", "dsd", "compressed"),
    "epochs": ("trainings", "round 0", "masks"),
    "rounds": ("trainings", "masks"),
    "rates": ("trainings", "masks"),
    "ranking": ("trainings",),
    "seeds": tuple(STUDIES),
    "mask-epochs": ("learned", "learned by rank"),
    "mask-learning-rate": ("learned",),
    "mask-score-learning-rate": ("learned by rank",),
    "task-epochs": ("tasks",),
    "sparse-epochs": ("sparse", "dsd", "compressed"),
    "sparse-learning-rate": ("sparse", "compressed"),
    **dict.fromkeys(("optimiser", "weight-decay", "augment"), ("trainings", "round 0", "masks", "dsd")),
    "graph-epochs": ("graphs",),
    "graph-nodes": ("graphs",),
}
"""The studies for which each change matters."""


def changed(name: str) -> Experiment:
    """FC's short protocol with one field changed to another number; on data that costs nothing to describe."""
    own = protocol("short")
    part, _, field = name.partition("-")
    parts = {"mask": "masks", "task": "tasks", "sparse": "sparse", "graph": "graph"}
    recipes = {"optimiser": "adamw", "weight-decay": 0.1, "augment": Augmentation(1)}
    if name in recipes:
        own = replace(own, recipe=replace(own.recipe, **{name.replace("-", "_"): recipes[name]}))
    elif name == "rates":
        own = replace(own, rates=replace(own.rates, dense=0.5))
    elif name == "ranking":
        own = replace(own, ranking="global")
    elif part in parts:
        inner = getattr(own, parts[part])
        field = field.replace("-", "_")
        own = replace(own, **{parts[part]: replace(inner, **{field: 7 * getattr(inner, field)})})
    else:
        field = name.replace("-", "_")
        own = replace(own, **{field: 7 * getattr(own, field)})
    return Experiment(own, own_data("mnist"))


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("name", CHANGED)
def test_a_change_is_named_where_it_matters_and_nowhere_else(name, study):
    experiment = changed(name)
    expected = [name] if study in CHANGED[name] else []
    assert list(changes(experiment, STUDIES[study])) == expected
    assert label(experiment, STUDIES[study]) == (f"short (changed: {name})" if expected else "short")
    assert ("changed" in caption(experiment, STUDIES[study])) == bool(expected)


def test_a_rate_of_layers_that_the_network_has_not_is_no_change():
    short = protocol("short")
    own = replace(short, rates=replace(short.rates, conv=0.5))
    assert changes(Experiment(own, own_data("mnist")), TRAINED) == {}


def test_the_values_of_what_is_nowhere_else_in_the_caption_are_given():
    own = replace(protocol("paper"), batch_size=10, learning_rate=0.5, epochs=2)
    said = caption(Experiment(own, own_data("mnist")), TRAINED)
    assert "protocol paper (changed: epochs, learning-rate 0.5, batch-size 10): 2 epochs a round, 24 rounds" in said


def name_of(experiment: Experiment, names: tuple[str, ...]) -> str:
    return stem("mask-criteria", ("a", "b", "c, same sign"), experiment, TRAINED, names)


def test_a_file_is_named_after_what_it_shows():
    all_of_it = ("a", "b", "c, same sign")
    experiment = Experiment(protocol("short"), own_data("mnist"))
    assert name_of(experiment, all_of_it) == "mask-criteria-fc-mnist-short"
    assert name_of(experiment, ("c, same sign", "a")) == "mask-criteria-fc-mnist-short-a+c-same-sign"
    assert name_of(experiment, (*all_of_it, "mine")) == "mask-criteria-fc-mnist-short-with-mine"
    other = Experiment(protocol("short", changes=Changes(epochs=1, rounds=4)), own_data("mnist"))
    assert name_of(other, all_of_it) == "mask-criteria-fc-mnist-short-epochs-1-rounds-4"
    long = tuple(f"a_rather_long_name_{number}" for number in range(9))
    assert name_of(experiment, long).startswith("mask-criteria-fc-mnist-short-9-lines-")
    assert name_of(experiment, long) != name_of(experiment, (*long[:-1], "another"))


PRINTABLE = st.characters(exclude_categories=["C", "Z"])


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6), st.text(PRINTABLE, min_size=1, max_size=300))
def test_a_files_name_is_one_whatever_things_are_called(names, data):
    """No folder, no hidden file, and not too long for any file system."""
    base = name_of(Experiment(protocol("short"), own_data(data)), tuple(names))
    assert "/" not in base
    assert "\\" not in base
    assert base.startswith("mask-criteria-fc-")
    assert base.isprintable()
    assert len(base.encode()) < 3 * LONGEST + 60
