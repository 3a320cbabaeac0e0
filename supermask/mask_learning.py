"""Learn a mask of anyone's network, in one's own loop: the weights stay, and scores decide which of them are kept.

    learner = learn_mask("bernoulli", rescaled=True)
    scores = learner.init(key, weights)
    loss_of = lambda scores, step_key: loss(learner.apply(scores, weights, step_key))  # its gradient reaches the scores
    masks = learner.masks(scores, weights)

Weights are any pytree. `learned_masks` trains populations of masks on the toolkit's networks by the same functions.
Zhou et al. 2019 (arXiv 1905.01067), section 5.2; Ramanujan et al. 2020 (arXiv 1911.13299); Diffenderfer & Kailkhura
2021 (arXiv 2103.09377); Koster et al. 2022 (arXiv 2201.13361).
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from supermask.checks import check_key
from supermask.mask_logits import (
    ONTO,
    Given,
    LearnedMask,
    effective_kernels,
    limits_of,
    rounded_masks,
    start_scores,
    weights_under,
)
from supermask.params import Kernels
from supermask.short import short
from supermask.trees import Leaves, MaskTree, Where, leaves_of


@short
class MaskLearner(NamedTuple):
    """Pure functions that learn a mask; they work under `jit`, `vmap`, `scan` and `grad`.

    init: (key, weights) -> scores, a pytree of the weights' structure: a float32 array where a leaf is masked, None
        where it stays as it is. They are what the optimiser trains.
    apply: (scores, weights, key) -> parameters: the weights under the mask that the scores stand for, or that is drawn
        by the key. Their gradient goes straight through the mask to the scores; the weights get none. Take a new key
        at every step; where nothing is drawn, it is not used.
    masks: (scores, weights) -> the one mask that the scores stand for: what is kept with a probability above one half,
        or the top scores. Use it with `apply_masks`, `save_masks`, and `agreement`. Under 'signed' it is ternary, a
        pytree of int8: 1 keeps a weight, 0 hides it and -1 inverts it, and `jax.tree.map(lambda m: m != 0, masks)` is
        the mask alone.
    """

    init: Callable[[Key[Array, ""], PyTree], PyTree]
    apply: Callable[[PyTree, PyTree, Key[Array, ""]], PyTree]
    masks: Callable[[PyTree, PyTree], MaskTree]


def learn_mask(
    method: Literal["bernoulli", "threshold", "edge_popup", "signed"] = "bernoulli",
    *,
    onto: Literal["initial", "signed_constant", "kaiming", "signed_kaiming", "binary"] = "initial",
    rescaled: bool = False,
    through_factor: bool = True,
    start: float = 0.0,
    kept: float = 0.5,
    threshold: float = 0.4,
    where: Where | None = None,
) -> MaskLearner:
    """Return the functions that learn a mask of any network by gradient descent.

    method: 'bernoulli' draws each weight's mask at every step, 1 with probability sigmoid(score); 'threshold' keeps
        scores above 0; 'edge_popup' keeps the top of each layer's |scores|; 'signed' keeps, hides or inverts each
        weight. Its scores want weight decay, the more the sparser: put `optax.add_decayed_weights(1e-3)` before the
        optimiser.
    onto: what kept weights are: 'initial', the weights as they are; 'signed_constant', their sign times their layer's
        standard deviation; 'kaiming' and 'signed_kaiming', the same draw scaled to variance 2 / fan-in; 'binary', the
        signs of 'kaiming' times the mean magnitude of those that the mask keeps. Under 'edge_popup', the last finds
        multi-prize tickets.
    rescaled: whether each layer is multiplied by (weights in it / ones in its mask), at every step.
    through_factor: whether the gradient passes through that factor, as in the released code; not under 'edge_popup'.
    start: of the scores: sigmoid(start) of the weights are kept at first; of no meaning for 'edge_popup' and 'signed'.
    kept: the fraction of each layer's weights that 'edge_popup' keeps.
    threshold: beyond which a score of 'signed' keeps or inverts its weight, as a fraction of the largest score at the
        start, √(6 / (fan-in + fan-out)).
    where: which leaves are masked, by path and leaf; by default floating-point leaves of two axes and more that are no
        bias, normalisation or embedding. Other leaves stay as they are; in the publications, biases are 0.

    Raises ValueError where a value is not allowed, and, when it is used, where no leaf is masked or the scores' pytree
    is not the weights'.
    """
    if onto not in ONTO:
        raise ValueError(f"onto is {onto!r}; allowed: {', '.join(ONTO)}")
    learned = LearnedMask(onto, rescaled, method, start, kept, through_factor, threshold)

    def init(key: Key[Array, ""], weights: PyTree) -> PyTree:
        check_key(key)
        leaves, kernels = _kernels(weights, where)
        return leaves.as_masks(jax.tree.map(jnp.asarray, start_scores(key, kernels, learned)))

    def apply(scores: PyTree, weights: PyTree, key: Key[Array, ""]) -> PyTree:
        if method == "bernoulli":
            check_key(key)
        leaves, kernels = _kernels(weights, where)
        given = _given(jax.lax.stop_gradient(kernels), learned)
        effective = effective_kernels(method, leaves.fitting("scores of {} have", scores), key, given)
        return leaves.with_chosen({path: each.astype(leaves.all[path].dtype) for path, each in effective.items()})

    def masks(scores: PyTree, weights: PyTree) -> MaskTree:
        leaves, kernels = _kernels(weights, where)
        return leaves.as_masks(
            rounded_masks(method, leaves.fitting("scores of {} have", scores), limits_of(learned, kernels))
        )

    return MaskLearner(init, apply, masks)


def _kernels(weights: PyTree, where: Where | None) -> tuple[Leaves, Kernels]:
    leaves = leaves_of(weights, where)
    return leaves, {path: jnp.asarray(leaves.all[path], jnp.float32) for path in leaves.prunable}


def _given(kernels: Kernels, learned: LearnedMask) -> Given:
    """Return the constants of the toolkit's own step, with empty keys: only its trainer uses those."""
    through, no_key = learned.through_factor and learned.method != "edge_popup", np.zeros(2, np.uint32)
    onto, magnitudes = weights_under(learned, kernels)
    rescaled, limits = np.asarray(learned.rescaled), limits_of(learned, kernels)
    return Given(onto, rescaled, np.asarray(through), limits, no_key, no_key, {}, None, magnitudes)
