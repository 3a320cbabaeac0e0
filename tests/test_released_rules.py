"""Criteria and mask-0 rules against an independent port of the released rules, on layers of the paper's shapes."""

import jax.numpy as jnp
import numpy as np
import pytest
import released_rules as released

from supermask.criteria import CRITERIA, LayerFacts
from supermask.keys import Purpose, derive_key
from supermask.masks import Rates, full_masks, keep_best
from supermask.named_members import BUILT_IN
from supermask.networks import NETWORKS
from supermask.restarts import End, Origin, Pruning, Treatment, restart, zeroed_of

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


@pytest.mark.parametrize("shape", [FC[0], CONV2[1]], ids=str)
@pytest.mark.parametrize("name", released.CRITERIA)
def test_in_later_rounds_the_released_rule_is_asked_of_live_weights_alone(name, shape):
    """What was pruned stays pruned, and does not shift what is cut off; ranks of pruned weights are nobody's."""
    w_initial, w_final = trained_layer(shape, seed=5)
    alive = np.random.default_rng(6).random(shape) < 0.3
    scores = CRITERIA[name](LayerFacts(jnp.asarray(w_initial), jnp.asarray(w_final), jnp.asarray(alive)))
    count = round(0.5 * alive.sum())
    mask = np.asarray(keep_best(derive_key(0, Purpose.TIES), scores, jnp.asarray(alive), count))
    sure, tied = released.CRITERIA[name](w_initial[alive], w_final[alive], count)
    assert mask.sum() == count
    assert not mask[~alive].any()
    assert mask[alive][sure].all()
    assert not mask[alive][~(sure | tied)].any()


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


RULES = {
    Treatment(): {"of_kept": False, "of_pruned": False},
    BUILT_IN.treatment(pruned="zero_if_shrunk"): {"of_kept": False},
    BUILT_IN.treatment(pruned="zero_if_grown"): {"of_kept": False, "reverse": True},
    BUILT_IN.treatment(kept="rewind_or_zero"): {"of_kept": True, "of_pruned": False},
    BUILT_IN.treatment(kept="rewind_or_zero", pruned="zero_if_shrunk"): {"of_kept": True},
}


@pytest.mark.parametrize("treatment", RULES, ids=lambda each: f"{each.kept}, {each.pruned}")
@pytest.mark.parametrize("shapes", [FC, CONV2], ids=["FC", "Conv2"])
def test_weights_start_from_what_the_released_rule_makes_of_them_over_rounds(shapes, treatment):
    """Training is stood in for by noise on whatever is alive; a tenth of it never moves."""
    random = np.random.default_rng(3)
    kernels = {f"layer{at}": trained_layer(shape, at)[0] for at, shape in enumerate(shapes)}
    params = {
        name: {"kernel": kernel, "bias": np.zeros(kernel.shape[-1], np.float32)} for name, kernel in kernels.items()
    }
    ported = {name: released.Frozen(kernel, **RULES[treatment]) for name, kernel in kernels.items()}
    still = {name: random.random(kernel.shape) < 0.1 for name, kernel in kernels.items()}
    masks, zeroed, start = full_masks(kernels), {}, params
    pruning = Pruning(NETWORKS["fc"], (28, 28, 1), Rates(conv=0.3, dense=0.4, output=0.2))
    zeros = []
    for round_ in range(1, 5):
        final = {
            name: start[name]["kernel"]
            + np.where(
                np.asarray(masks[name]) & ~still[name], 0.3 * np.std(kernel) * random.normal(size=kernel.shape), 0
            )
            for name, kernel in kernels.items()
        }
        final = {name: kernel.astype(np.float32) for name, kernel in final.items()}
        origin = Origin(0, params, params, final)
        begun = restart(pruning, treatment, origin, round_, End(masks, final, zeroed))
        for name in kernels:
            expected = ported[name].next_start(final[name], np.asarray(masks[name]), np.asarray(begun.masks[name]))
            np.testing.assert_array_equal(begun.params[name]["kernel"], expected)
        masks, start, zeroed = begun.masks, begun.params, zeroed_of(begun, params)
        zeros.append(sum(int(np.sum(places)) for places in zeroed.values()))
    if treatment.kept.name == "rewind_or_zero":
        assert min(zeros) > 0, "kept weights at 0 are what the rounds are told apart by"
    else:
        assert zeros == [0, 0, 0, 0]
