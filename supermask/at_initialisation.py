"""Pruning before training, by scores of the whole network, which are computed again as weights are pruned.

    masks = prune_at_initialisation(key, params, snip_scores(loss), density=0.05)
    masks = prune_at_initialisation(key, params, synflow_scores(outputs), density=0.01, steps=100)

`loss` is a function of the parameters alone, of a batch that you choose; so is `outputs`, of inputs that are all 1.
A score is a function from parameters to a pytree of theirs: your own may ask whatever it wants of the network.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Key, PyTree

from supermask.checks import check_key, check_whole
from supermask.counts import Number, exact_fraction, own_number, share
from supermask.criteria import snip
from supermask.masks import Masks, keep_best_of_network
from supermask.network_facts import Loss, Outputs, scores_by_path
from supermask.pruning import apply_masks
from supermask.trees import MaskTree, Where, leaves_of

Score = Callable[[PyTree], PyTree]
"""(parameters) -> scores, a pytree of the same leaves; the highest are kept."""


def prune_at_initialisation(
    key: Key[Array, ""], params: PyTree, score: Score, *, density: Number, steps: int = 1, where: Where | None = None
) -> MaskTree:
    """Return masks of that density: each step prunes the weights of lowest score in the whole network.

    params: the untrained parameters.
    score: asked at the start of each step, at the parameters with pruned weights at 0. `snip_scores`, `grasp_scores`,
        `synflow_scores`, or a function of your own.
    density: the fraction of prunable weights that is kept: all but floor((1 - density) × weights).
    steps: density^(k / steps) of the weights are left after step k. Iterative SNIP takes some hundred (de Jorge et al.
        2021, arXiv 2006.09081), SynFlow 100.
    where: which leaves are pruned, by path and leaf; by default floating-point leaves of two axes and more that are no
        bias, normalisation or embedding.
    key: breaks ties.

    Works under `jit`. A layer may lose all its weights.

    Raises ValueError for a density outside 0..1, fewer than one step, and scores of other leaves or shapes than the
    parameters'; where nothing is prunable; and, outside `jit`, for scores that are NaN.
    """
    check_key(key)
    kept = own_number("density", density)
    if not 0 < kept < 1:
        raise ValueError(f"density is {kept}; allowed: 0 < density < 1")
    check_whole("steps", steps, 1)
    leaves = leaves_of(params, where)
    total = sum(int(leaves.all[path].size) for path in leaves.prunable)
    last = total - int(share(1 - exact_fraction(kept), total))
    left = [max(int(np.ceil(total * kept ** (k / steps))), last) for k in range(1, steps)] + [last]
    counts = jnp.asarray(left, jnp.int32)

    def prune_more(step: Array | int, found: tuple[Masks, Array]) -> tuple[Masks, Array]:
        masks, lost = found
        scores = scores_by_path(leaves, score(apply_masks(params, leaves.as_masks(masks))))
        for path, mask in masks.items():
            lost += jnp.sum(mask & jnp.isnan(scores[path]), dtype=jnp.int32)
        return keep_best_of_network(jax.random.fold_in(key, step), scores, masks, counts[step]), lost

    begun: Masks = {path: jnp.ones(leaves.all[path].shape, bool) for path in leaves.prunable}
    masks, lost = lax.fori_loop(0, steps, prune_more, (begun, jnp.int32(0)))
    if not isinstance(lost, jax.core.Tracer) and int(lost):
        raise ValueError(f"score is NaN for {int(lost)} live weights in all; allowed: numbers, ∞ included")
    return leaves.as_masks(masks)


def snip_scores(loss: Loss) -> Score:
    """|g · w|: how much the loss would change without the weight. Lee et al. 2019 (arXiv 1810.02340), equation 6."""
    gradient = jax.grad(loss)
    return lambda params: jax.tree.map(snip, params, gradient(params))


def grasp_scores(loss: Loss) -> Score:
    """w · Hg, H the loss's Hessian: how much the gradient's norm would fall without the weight.

    Wang, Zhang & Grosse 2020 (arXiv 2002.07376), equation 8, with the sign under which the highest are kept.
    """
    gradient = jax.grad(loss)

    def scores(params: PyTree) -> PyTree:
        slope = gradient(params)
        # backward twice: forward over backward stops at functions with a backward rule of their own
        _, transposed = jax.vjp(gradient, params)
        return jax.tree.map(jnp.multiply, params, *transposed(slope))

    return scores


def synflow_scores(outputs: Outputs) -> Score:
    """|w| · ∂R/∂|w|, R the sum of the outputs of the network of |w| on inputs that are all 1: no data is needed.

    outputs: (parameters) -> the network's outputs on such inputs; batch normalisation as in evaluation.

    With enough steps no layer loses all its weights before the others do. Tanaka et al. 2020 (arXiv 2006.05467),
    algorithm 1. R grows with depth and width, and has to stay finite in float32.
    """

    def scores(params: PyTree) -> PyTree:
        size = jax.tree.map(jnp.abs, params)
        return jax.tree.map(jnp.multiply, size, jax.grad(lambda each: jnp.sum(outputs(each)))(size))

    return scores
