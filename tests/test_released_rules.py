"""Criteria against an independent port of the released rules, on layers of the paper's shapes."""

import jax.numpy as jnp
import numpy as np
import pytest
import released_rules as released

from supermask.criteria import CRITERIA, LayerFacts
from supermask.keys import Purpose, derive_key
from supermask.masks import keep_best

FC = [(784, 300), (300, 100), (100, 10)]
CONV2 = [(3, 3, 3, 64), (3, 3, 64, 64), (256, 256), (256, 10)]


def trained_layer(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights like those of a layer before and after training: a tenth stays, some change their sign."""
    random = np.random.default_rng(seed)
    spread = np.sqrt(2 / (np.prod(shape[:-1]) + shape[-1]))
    w_initial = random.normal(size=shape) * spread
    moved = random.normal(size=shape) * spread * random.exponential(size=shape) * (random.random(shape) < 0.9)
    return w_initial.astype(np.float32), (w_initial.astype(np.float32) + moved.astype(np.float32)).astype(np.float32)


@pytest.mark.parametrize("shape", [*FC, *CONV2], ids=str)
@pytest.mark.parametrize("name", released.CRITERIA)
def test_masks_are_those_of_the_released_rule(name, shape):
    w_initial, w_final = trained_layer(shape, seed=len(shape) + shape[-1])
    everything = jnp.ones(shape, bool)
    scores = CRITERIA[name](LayerFacts(jnp.asarray(w_initial), jnp.asarray(w_final), everything))
    for share in (0.8, 0.5, 0.2, 0.01):
        count = round(share * w_initial.size)
        mask = np.asarray(keep_best(derive_key(0, Purpose.TIES), scores, everything, count))
        sure, tied = released.CRITERIA[name](w_initial, w_final, count)
        assert mask.sum() == count
        assert mask[sure].all(), "what the rule keeps for sure is kept"
        assert not mask[~(sure | tied)].any(), "what the rule prunes for sure is pruned"


def test_only_the_strict_rule_puts_every_flipped_weight_last():
    """At 80% of a layer in which many weights shrank, the released rule keeps most of the flipped ones."""
    w_initial, w_final = trained_layer((784, 300), seed=1)
    w_final *= 0.9
    everything, flipped = jnp.ones(w_initial.shape, bool), np.sign(w_initial) != np.sign(w_final)
    kept = {}
    for name in ("magnitude_increase_same_sign", "magnitude_increase_same_sign_strict"):
        scores = CRITERIA[name](LayerFacts(jnp.asarray(w_initial), jnp.asarray(w_final), everything))
        mask = np.asarray(keep_best(derive_key(0, Purpose.TIES), scores, everything, int(0.8 * w_initial.size)))
        kept[name] = int((mask & flipped).sum())
    assert kept["magnitude_increase_same_sign"] > 0.5 * flipped.sum()
    assert kept["magnitude_increase_same_sign_strict"] == max(0, int(0.8 * flipped.size) - int((~flipped).sum()))
