"""Pruning before training by scores of the whole network: SNIP, iterative SNIP, GraSP, SynFlow."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import supermask as sm

KEY = jax.random.key(2)
WIDTHS = (20, 40, 6, 40, 10)
PARAMS = {
    f"layer{n}": jax.random.normal(jax.random.fold_in(KEY, n), shape) / shape[0] ** 0.5
    for n, shape in enumerate(pairwise(WIDTHS))
}
X = jax.random.normal(jax.random.key(3), (50, 20))
Y = jax.random.normal(jax.random.key(4), (50, 10))
TOTAL = sum(leaf.size for leaf in PARAMS.values())


def network(params, x):
    for name in sorted(params)[:-1]:
        x = jax.nn.relu(x @ params[name])
    return x @ params[max(params)]


def loss(params):
    return jnp.mean((network(params, X) - Y) ** 2)


def outputs(params):
    return network(params, jnp.ones((1, 20)))


def test_one_step_of_snip_is_the_criterion_of_that_name_in_the_whole_network():
    masks = sm.prune_at_initialisation(KEY, PARAMS, sm.snip_scores(loss), density=0.3)
    same = sm.prune(KEY, PARAMS, PARAMS, sm.snip, fraction=0.7, gradient=jax.grad(loss)(PARAMS), ranking="global")
    assert sm.agreement(masks, same).jaccard == 1
    assert sum(int(mask.sum()) for mask in masks.values()) == TOTAL - int(0.7 * TOTAL)


def test_more_steps_of_snip_ask_again_and_keep_more_gradient():
    """Masks nest in no way, but the count is the same, and it is another mask."""
    once = sm.prune_at_initialisation(KEY, PARAMS, sm.snip_scores(loss), density=0.05)
    often = jax.jit(lambda: sm.prune_at_initialisation(KEY, PARAMS, sm.snip_scores(loss), density=0.05, steps=50))()
    agreement = sm.agreement(once, often)
    assert agreement.kept_first == agreement.kept_second == TOTAL - int(0.95 * TOTAL)
    assert agreement.overlap < 1
    saliency = [
        float(sum(map(jnp.sum, sm.snip_scores(loss)(sm.apply_masks(PARAMS, m)).values()))) for m in (once, often)
    ]
    assert saliency[1] > saliency[0]


def test_grasp_is_the_weight_times_the_hessian_times_the_gradient():
    """Of ½ wᵀAw the gradient is Aw and the Hessian A."""
    half = jax.random.normal(KEY, (6, 6))
    matrix = half @ half.T
    w = {"w": jax.random.normal(jax.random.key(1), (3, 2))}
    scores = sm.grasp_scores(lambda params: 0.5 * params["w"].ravel() @ matrix @ params["w"].ravel())(w)
    expected = w["w"] * (matrix @ matrix @ w["w"].ravel()).reshape(3, 2)
    np.testing.assert_allclose(scores["w"], expected, rtol=1e-4)
    masks = sm.prune_at_initialisation(KEY, w, lambda params: scores, density=0.5)
    assert float(scores["w"][masks["w"]].min()) > float(scores["w"][~masks["w"]].max())


def test_synflow_shares_what_flows_equally_and_loses_no_layer():
    """Tanaka et al. 2020: scores are conserved from layer to layer; steps save the narrow layer, one step does not."""
    scores = sm.synflow_scores(outputs)(PARAMS)
    sums = [float(score.sum()) for score in scores.values()]
    np.testing.assert_allclose(sums, sums[0], rtol=1e-4)
    masks = sm.prune_at_initialisation(KEY, PARAMS, sm.synflow_scores(outputs), density=0.01, steps=100)
    assert sum(int(mask.sum()) for mask in masks.values()) == TOTAL - int(0.99 * TOTAL)
    assert min(int(mask.sum()) for mask in masks.values()) >= 1
    size = jax.tree.map(jnp.abs, sm.apply_masks(PARAMS, masks))
    assert float(outputs(size).sum()) > 0, "something still flows"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("score", "changes", "words"),
    [
        (sm.snip_scores(loss), {"density": 1.5}, "density is 1.5"),
        (sm.snip_scores(loss), {"steps": 0}, "steps is 0; allowed: 1 or more"),
        (lambda params: {"layer0": params["layer0"]}, {}, "pytrees differ"),
        (lambda params: {**params, "layer1": jnp.ones(3)}, {}, r"score of layer1 has shape \(3,\); the weights' is"),
        (
            lambda params: jax.tree.map(lambda leaf: jnp.where(leaf > 0, jnp.nan, leaf), params),
            {},
            "score is NaN for [0-9]+",
        ),
        (lambda params: jax.tree.map(lambda leaf: jnp.int32(leaf) + 2**26 + 1, params), {}, "score is NaN for [0-9]+"),
        (sm.snip_scores(loss), {"where": lambda path, leaf: False}, "where finds nothing to prune"),
    ],
)
def test_what_cannot_be_is_refused_by_name(score, changes, words):
    with pytest.raises(ValueError, match=words):
        sm.prune_at_initialisation(KEY, PARAMS, score, **{"density": 0.5} | changes)
