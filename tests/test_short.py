"""Every public object that holds arrays prints in a few lines."""

import dataclasses
import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import supermask
from supermask.criteria import CRITERIA
from supermask.datasets import DATASETS
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer
from supermask.lottery import Treatment, find_tickets, initial_params
from supermask.masks import Rates
from supermask.short import LONGEST, short, short_repr
from supermask.training import TrainingConfig

ARRAYS = ("jaxtyping.", "Params", "Kernels", "Dataset", "Split", "Trained", "Scores", "State", "Structure", "PyTree")


def public_classes():
    for found in pkgutil.walk_packages(supermask.__path__, "supermask."):
        if found.name.startswith(("supermask.analysis", "supermask.figures")):  # the library alone
            continue
        for name, own in vars(importlib.import_module(found.name)).items():
            if inspect.isclass(own) and own.__module__ == found.name and not name.startswith("_"):
                yield own


def fields_of(own):
    if dataclasses.is_dataclass(own):
        return {each.name: str(each.type) for each in dataclasses.fields(own)}
    return {name: str(own.__annotations__[name]) for name in getattr(own, "_fields", ())}


HOLDERS = [
    own
    for own in public_classes()
    if not issubclass(own, nn.Module)
    and any(word in kind for kind in fields_of(own).values() for word in ARRAYS)
    and not any("function" in name for name in fields_of(own))
]


def test_the_classes_that_hold_arrays_are_found():
    assert {"Trained", "RoundRecord", "Dataset", "Split", "LearnedOutcome", "State"} <= {
        own.__name__ for own in HOLDERS
    }
    assert len(HOLDERS) > 30


@pytest.mark.parametrize("own", HOLDERS, ids=lambda own: own.__name__)
def test_what_holds_arrays_has_a_short_text(own):
    assert own.__repr__ is short_repr, "put @short above it"


def test_what_people_print_is_short(trainer):
    *_, record = find_tickets(trainer, Rates(dense=0.5), [Treatment()], [0], 1)
    config = TrainingConfig(2, 1.0)
    masks = MaskTrainer(trainer.network, trainer.data, config, trainer.placement)
    (learned,) = masks.train([MaskJob(initial_params(trainer, 0), LearnedMask(), 0)])
    for value in (record, record.trained, record.start, trainer, trainer.data, trainer.data.train, masks, learned):
        assert str(value) == repr(value)
        assert len(repr(value)) <= LONGEST
        assert "\n" not in repr(value)
    assert "seed=0, round=1" in repr(record)
    assert "hidden1: bool[64, 40]" in repr(record.start)
    assert "accuracy=" in repr(record.trained)
    assert "images=uint8[1197, 8, 8, 1]" in repr(trainer.data.train)
    for value in (*CRITERIA.values(), *DATASETS.values()):
        assert len(repr(value)) <= LONGEST


def test_texts_of_awkward_values():
    @short
    @dataclasses.dataclass
    class Holder:
        first: object
        second: object = None

    assert repr(Holder(np.float32(0.5), jnp.arange(3))) == "Holder(first=0.5, second=int32[3])"
    assert repr(Holder({"a": np.zeros((2, 3))})) == "Holder(first={a: float64[2, 3]}, second=None)"
    assert len(repr(Holder("x" * 10_000, {f"layer{n}": np.zeros(2) for n in range(1000)}))) <= LONGEST
    assert len(repr(Holder([np.zeros(1000)] * 100, list(range(10_000))))) <= LONGEST
    assert repr(Holder(jax.random.key(0))).startswith("Holder(first=key<fry>[]")
    seen = []
    jax.jit(lambda x: seen.append(repr(Holder(x))))(jnp.float32(1))
    assert seen == ["Holder(first=float32[], second=None)"], "a traced array has no number yet"
