"""Controls of criteria: shuffled scores keep every layer's density, the opposite order keeps what was pruned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import supermask as sm
from supermask.analysis.command.conformance import facts_for, results_of
from supermask.criteria import CRITERIA, LayerFacts
from supermask.datasets import load
from supermask.evaluation import cross_entropy
from supermask.keys import Purpose, derive_key
from supermask.members import MemberError
from supermask.named_members import BUILT_IN, with_parameters
from supermask.network_facts import NetworkFacts
from supermask.networks import NETWORKS, initialise, logits
from supermask.trees import pruned_leaves

KEY = jax.random.key(3)
PARAMS = {
    "first": {"kernel": jax.random.normal(KEY, (20, 30)), "bias": jnp.zeros(30)},
    "second": {"kernel": jax.random.normal(jax.random.key(4), (30, 10)) / 3, "bias": jnp.zeros(10)},
}
FINAL = jax.tree.map(lambda leaf: leaf + 0.3 * jnp.cos(7 * leaf), PARAMS)


X = jax.random.normal(jax.random.key(6), (15, 20))


def loss(params):
    hidden = jnp.tanh(X @ params["first"]["kernel"] + params["first"]["bias"][None])
    return jnp.mean((hidden @ params["second"]["kernel"] - 1) ** 2)


def outputs(params):
    return jnp.ones((1, 20)) @ abs(params["first"]["kernel"]) @ params["second"]["kernel"]


def densities_alone(key):
    return key


def prune(chosen, fraction=0.6, masks=None, ranking="global"):
    asked = {"loss": loss, "outputs": outputs}
    return sm.prune(KEY, PARAMS, FINAL, chosen, fraction=fraction, ranking=ranking, masks=masks, **asked)


def densities(masks):
    return {layer: int(masks[layer]["kernel"].sum()) for layer in masks}


@pytest.mark.parametrize("of", [sm.large_final, sm.snip, sm.synflow, sm.iterative_snip(5)])
def test_a_shuffled_mask_has_the_layers_densities_at_random_places(of):
    """In a first round and in a second one, in which dead weights stay dead."""
    found, control = prune(of), prune(sm.shuffled(of))
    assert densities(found) == densities(control)
    for layer in PARAMS:
        share = densities(found)[layer] / found[layer]["kernel"].size
        agreed = float((found[layer]["kernel"] & control[layer]["kernel"]).sum()) / densities(found)[layer]
        assert agreed == pytest.approx(share, abs=4 / densities(found)[layer] ** 0.5), "as chance would have it"
    again, other = prune(of, 0.5, found), prune(sm.shuffled(of), 0.5, found)
    assert sm.agreement(other, found).overlap == 1
    assert densities(again) == densities(other)


@pytest.mark.parametrize("of", [sm.large_final, sm.snip, sm.synflow])
@pytest.mark.parametrize("ranking", ["global", "layer"])
def test_an_inverted_mask_is_the_other_half(of, ranking):
    """At one half, where no scores are equal, it keeps exactly what the criterion prunes."""
    found, inverse = prune(of, 0.5, ranking=ranking), prune(sm.inverted(of), 0.5, ranking=ranking)
    for layer in PARAMS:
        np.testing.assert_array_equal(found[layer]["kernel"], ~inverse[layer]["kernel"])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), live=st.floats(0, 1))
def test_live_weights_exchange_scores_among_themselves(seed, live):
    random = np.random.default_rng(seed)
    alive = jnp.asarray(random.random((6, 7)) < live)
    first, last = (jnp.asarray(random.normal(size=(6, 7)), jnp.float32) for _ in range(2))
    facts = LayerFacts(first, last, alive, key=jax.random.key(seed))
    scores, own = sm.shuffled(CRITERIA["movement"])(facts), CRITERIA["movement"](facts)
    np.testing.assert_array_equal(np.sort(scores[alive]), np.sort(own[alive]))
    np.testing.assert_array_equal(np.sort(scores[~alive]), np.sort(own[~alive]))
    other = sm.shuffled(CRITERIA["movement"])(facts._replace(key=jax.random.key(seed + 1)))
    assert int(alive.sum()) < 8 or not np.array_equal(scores, other)


@pytest.mark.parametrize("name", [*BUILT_IN.criterion, "iterative_synflow(steps=3)", "softened_grasp(temperature=9)"])
def test_every_criterion_has_controls(name):
    of = with_parameters(name) or BUILT_IN.criterion[name]
    for control in (sm.shuffled(of), sm.inverted(of)):
        facts = facts_for(control, 2)
        own = results_of(of, facts)
        for path, scores in results_of(control, facts).items():
            expected = own[path] if control.name.startswith("shuffled") else -own[path]
            np.testing.assert_array_equal(np.sort(scores.ravel()), np.sort(expected.ravel()))
        assert control.name in (f"shuffled_{of.name}", f"inverted_{of.name}")
        assert control == (sm.shuffled if "shuffled" in control.name else sm.inverted)(of)


def test_controls_have_a_text_and_refuse_what_is_no_criterion():
    assert with_parameters("shuffled(snip)") == sm.shuffled(sm.snip) == sm.shuffled(CRITERIA["snip"])
    assert with_parameters("inverted(power(a=1, b=-1))") == sm.inverted(sm.power(1, -1))
    assert with_parameters("shuffled(inverted(grad))").name == "shuffled_inverted_grad"
    with pytest.raises(ValueError, match=r"the criterion in 'shuffled\(snap\)' is 'snap'; allowed: .*snip"):
        with_parameters("shuffled(snap)")
    with pytest.raises(ValueError, match=r"allowed: power.* or shuffled\(CRITERION\) or inverted\(CRITERION\)"):
        with_parameters("shuffle(snip)")
    with pytest.raises(MemberError, match="asks for no weights"):
        sm.shuffled(densities_alone)


@pytest.mark.thorough
def test_a_temperature_of_one_is_grasp_and_another_needs_the_logits():
    network, images = NETWORKS["fc"], load("digits").train.images[:40].astype(np.float32) / 16
    params = initialise(network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    labels = jnp.asarray(load("digits").train.labels[:40])
    masks = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool) if leaf.ndim == 2 else None, params)

    def softened(temperature):
        return lambda own: cross_entropy(network, own, jnp.asarray(images), labels, temperature)

    facts = NetworkFacts(params, params, masks, KEY, softened(1.0), None, softened)
    leaves, _ = pruned_leaves(params, masks)
    once, plain = (chosen.of_network(facts, leaves) for chosen in (sm.softened_grasp(1), BUILT_IN.criterion["grasp"]))
    soft = sm.softened_grasp(200.0).of_network(facts, leaves)
    by_hand = {**params, "output": {name: leaf / 200 for name, leaf in params["output"].items()}}
    assert float(softened(200.0)(params)) == pytest.approx(float(softened(1.0)(by_hand)), rel=1e-6)
    assert float(logits(network, params, jnp.asarray(images)).std()) > 0.05
    for path, scores in plain.items():
        np.testing.assert_allclose(once[path], scores, rtol=1e-5, atol=1e-7)
        assert not np.allclose(soft[path] / abs(soft[path]).max(), scores / abs(scores).max(), atol=0.05)
    with pytest.raises(ValueError, match="asks for the loss at temperature 200, and only the toolkit's trainer"):
        prune(sm.softened_grasp(200))
    for temperature in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="allowed: finite numbers above 0"):
            sm.softened_grasp(temperature)
