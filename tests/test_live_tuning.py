"""Tuning of shared values on live weights: the steps of the dense path but for rounding, the same bits wherever."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from supermask.analysis.kinds.compression import COMPRESSION, tuning_of
from supermask.analysis.store.checkpoints import FolderCheckpoints
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.compression.pruning import largest_of_layers
from supermask.compression.quantisation import quantise
from supermask.compression.runs import CompressionRun
from supermask.compression.tuning import CentroidTrainer
from supermask.datasets import load
from supermask.keys import Purpose, derive_key
from supermask.live_weights import choice
from supermask.networks import initialise
from supermask.population import Placement
from supermask.training import TrainingConfig


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """However short a training is, live weights pay where there are few."""
    monkeypatch.setattr(choice, "WORTHWHILE", 0)


def coarse(network, seed, sparsity=0.9, bits=3):
    params = initialise(network, derive_key(seed, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    masks = largest_of_layers(params, sparsity, seed)
    return quantise(params, masks, dict.fromkeys(masks, bits))


def tuner_of(network, digits, steps=100, devices=1, **changes):
    placement = Placement(tuple(jax.devices())[:devices], 4)
    return replace(
        CentroidTrainer(network, digits, TrainingConfig(steps, 1e-3, evaluate_every=20), placement), **changes
    )


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


@pytest.mark.parametrize("steps", [1, 100])
def test_steps_are_those_of_the_dense_path(small_network, digits, monkeypatch, steps):
    """Values of several weights, of one, of none, and biases; the last layer's codes at other bits."""
    given = coarse(small_network, 0)
    output = coarse(small_network, 0, sparsity=0.5, bits=1)
    given = given._replace(
        **{
            field: getattr(given, field) | {"output": getattr(output, field)["output"]}
            for field in ("codes", "masks", "codebooks")
        }
    )
    (live,) = tuner_of(small_network, digits, steps).train([given], [3])
    monkeypatch.setattr(choice, "WORTHWHILE", np.inf)
    (dense,) = tuner_of(small_network, digits, steps).train([given], [3])
    assert not same_bits(live.codebooks, given.codebooks)
    assert same_bits((live.codes, live.masks), (given.codes, given.masks))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-6), live, dense)
    assert [live.codebooks[n].size for n in sorted(live.codebooks)] == [7, 7, 1]


def test_bits_are_the_same_alone_among_others_and_on_one_core(small_network, digits):
    """Beside networks that are too dense, which take the other path, in whatever order."""
    sparse, other, dense = coarse(small_network, 0), coarse(small_network, 1), coarse(small_network, 2, sparsity=0.1)
    (alone,) = tuner_of(small_network, digits).train([sparse], [5])
    beside = tuner_of(small_network, digits, devices=2).train([dense, other, sparse], [7, 6, 5])
    assert same_bits(beside[2], alone)
    assert same_bits(beside[0], tuner_of(small_network, digits).train([dense], [7])[0])
    assert not same_bits(beside[1].codebooks, alone.codebooks)


class InterruptError(Exception):
    """What a progress callback may raise."""


def test_a_tuning_that_was_cut_off_goes_on_to_the_same_bits(small_network, digits, tmp_path):
    given, checkpoints = coarse(small_network, 0), FolderCheckpoints(tmp_path, seconds_between=0.0)
    (straight,) = tuner_of(small_network, digits).train([given], [5])
    done, again = [], []

    def tell(steps: int) -> None:
        done.append(steps)
        if sum(done) >= 60:
            raise InterruptError

    with pytest.raises(InterruptError):
        tuner_of(small_network, digits, checkpoints=checkpoints).train([given], [5], tell)
    changed = given._replace(codes={n: (codes > 0).astype(np.uint8) for n, codes in given.codes.items()})
    (other,) = tuner_of(small_network, digits, checkpoints=checkpoints).train([changed], [5])
    assert same_bits(other, tuner_of(small_network, digits).train([changed], [5])[0]), "other codes, another tuning"
    (resumed,) = tuner_of(small_network, digits, checkpoints=checkpoints).train([given], [5], again.append)
    assert same_bits(resumed, straight)
    assert (again[0], sum(again)) == (40, 100), "what was done before counts as done"


def test_descriptions_tell_which_tunings_are_on_live_weights(monkeypatch):
    """And trainers choose by the same rule."""
    monkeypatch.undo()
    data = load("mnist5k")

    def revision(network="fc", **changes) -> int:
        experiment = Experiment(protocol("short", network, changes=Changes(dataset="mnist5k", **changes)), data)
        (description,) = COMPRESSION.describe(experiment, CompressionRun(), 0)
        if network == "fc":
            params = initialise(experiment.network, derive_key(0, Purpose.INITIAL_WEIGHTS), data.image_shape)
            given = quantise(params, largest_of_layers(params, 0.92, 0), dict.fromkeys(params, 5))
            placement = Placement(tuple(jax.devices())[:1], 1)
            tuner = CentroidTrainer(experiment.network, data, tuning_of(experiment), placement)
            assert tuner._on_live_weights(given) == (description["revision"] == 3)
        return description["revision"]

    assert revision() == 3
    assert revision(sparse_epochs=5) == 2, "too short to pay"
    assert revision("lenet5") == 2
