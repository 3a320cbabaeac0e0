"""Restarts: from the end of one round to the masks and weights that the next one starts with.

Frankle & Carbin 2019 (arXiv 1803.03635), section 1; Zhou et al. 2019, section 2; rewinding to a later step: Frankle et
al. 2019 (arXiv 1903.01611).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from supermask import masks as mask_functions
from supermask.actions import Action, ActionFacts, start_weights
from supermask.counts import Rates, kept_counts
from supermask.criteria import Criterion, LayerFacts, score_layers
from supermask.keys import Number, Purpose, derive_key, layer_order
from supermask.masks import Masks, full_masks
from supermask.network_facts import check_scores
from supermask.networks import Network, initialise
from supermask.params import Kernels, Params, kernels_of, with_kernels
from supermask.short import short
from supermask.treatments import Treatment as Treatment

NetworkScores = Callable[[Criterion, Params, Params, Masks, Key[Array, ""]], Kernels]
"""(criterion, initial and final parameters, masks, key) -> scores by layer of a criterion of the whole network."""


@short
@dataclass(frozen=True)
class Origin:
    """Common origin of the runs of one seed.

    `rewind` are the parameters that rewinding goes back to, `trained` the kernels at the end of round 0, `gradient`
    that of the loss at initialisation, which only some criteria need, and `ended` all parameters at the end of round 0,
    which criteria of the whole network need.
    """

    seed: int
    initial: Params
    rewind: Params
    trained: Kernels
    gradient: Kernels | None = None
    ended: Params | None = None


@short
@dataclass(frozen=True)
class Start:
    """Start of a round: its masks, and its parameters with pruned weights frozen."""

    masks: Masks
    params: Params


@short
@dataclass(frozen=True)
class Pruning:
    """The network to prune, its rates per round, and the scores of criteria of the whole network."""

    network: Network
    image_shape: tuple[int, int, int]
    rates: Rates
    of_network: NetworkScores | None = None


@short
class End(NamedTuple):
    """End of a round: its masks, final kernels, and the weights that it had started at 0, in layers that have any.

    `params` are all final parameters, which criteria of the whole network need.
    """

    masks: Masks
    final: Kernels
    zeroed: Masks
    params: Params | None = None


def zeroed_of(start: Start, initial: Params) -> Masks:
    """Return where a round starts a kept weight at 0 in place of its initial value; layers without any are left out."""
    zeroed: Masks = {}
    for layer, kernel in kernels_of(initial).items():
        at_zero = np.asarray(start.params[layer]["kernel"]) == 0
        at_zero &= np.asarray(start.masks[layer]) & (np.asarray(kernel) != 0)
        if at_zero.any():
            zeroed[layer] = at_zero
    return zeroed


def restart(pruning: Pruning, treatment: Treatment, origin: Origin, round_: int, end: End) -> Start:
    """Return the start of round `round_`, 1 or more, from the end of the round before.

    All that is not pruned goes back with the weights, or stays with them: biases, normalisations, and running
    statistics. Raises ValueError for a treatment that continues from an end that lacks them.
    """
    if treatment.schedule == "one_shot":
        end = End(full_masks(origin.trained), origin.trained, {}, origin.ended)
    masks, final, zeroed, ended = end
    initial = kernels_of(origin.initial)
    scores = _asked(pruning, treatment.criterion, origin, round_, end)
    named = origin.seed, round_
    rates = pruning.rates.by_layer(pruning.network.layer_kinds(pruning.image_shape))
    if treatment.ranking == "layer":
        counts = kept_counts({layer: kernel.size for layer, kernel in initial.items()}, rates, round_)[round_]
        new_masks = _keep_best_of_layers(named, scores, masks, counts)
    else:
        total = {"network": sum(kernel.size for kernel in initial.values())}
        counts = kept_counts(total, {"network": pruning.rates.dense}, round_)[round_]
        new_masks = _keep_best_of_network(named, scores, masks, counts["network"])
    fresh = initial
    if "w_fresh" in treatment.kept.needs:
        fresh_key = derive_key(origin.seed, Purpose.FRESH_WEIGHTS, round_)
        fresh = kernels_of(initialise(pruning.network, fresh_key, pruning.image_shape))
    before = (kernels_of(origin.rewind), final, fresh, masks, zeroed)
    kernels = _start_kernels(treatment.kept, treatment.pruned, named, before, new_masks)
    around = ended if treatment.kept.continues else origin.rewind
    if around is None:
        raise ValueError(
            f"kept is {treatment.kept}, and the end of the round has kernels alone; allowed with all params"
        )
    return Start(new_masks, with_kernels(around, kernels))


def _asked(pruning: Pruning, criterion: Criterion, origin: Origin, round_: int, end: End) -> mask_functions.Scores:
    """Return the criterion's scores at the end of the round before. Raises ValueError where nothing answers it."""
    key = draws_key(criterion, origin.seed, round_)
    if not criterion.is_of_network:
        return scores_of(criterion, kernels_of(origin.initial), end.final, end.masks, origin.gradient, key)
    if pruning.of_network is None or end.params is None or key is None:
        raise ValueError(f"criterion {criterion.name} judges by the whole network; allowed with a trainer's `scores`")
    asked = pruning.of_network(criterion, origin.initial, end.params, end.masks, key)
    scores = {layer: jnp.asarray(each) for layer, each in asked.items()}
    check_numbers(criterion, scores, end.masks, (kernels_of(origin.initial), end.final))
    return scores


def draws_key(criterion: Criterion, seed: int, round_: int = 0) -> Key[Array, ""] | None:
    """Return the key that a criterion draws from; None for one that asks for none."""
    if "key" in criterion.needs or criterion.is_of_network:
        return derive_key(seed, Purpose.CRITERION, round_)
    return None


def facts_of(
    initial: Kernels,
    final: Kernels,
    masks: Masks,
    gradient: Kernels | None,
    key: Key[Array, ""] | None = None,
) -> dict[str, LayerFacts]:
    """Return the facts of every layer, which criteria ask for."""
    return {
        layer: LayerFacts(
            jnp.asarray(initial[layer]),
            jnp.asarray(final[layer]),
            jnp.asarray(masks[layer]),
            None if gradient is None else jnp.asarray(gradient[layer]),
            None if key is None else jax.random.fold_in(key, index),
        )
        for index, layer in enumerate(layer_order(initial))
    }


def scores_of(
    criterion: Criterion,
    initial: Kernels,
    final: Kernels,
    masks: Masks,
    gradient: Kernels | None,
    key: Key[Array, ""] | None = None,
) -> mask_functions.Scores:
    """Return the criterion's scores of every layer; compiled. Raises MemberError as `check_numbers` does."""
    scores = _scores_of(criterion, initial, final, masks, gradient, key)
    check_numbers(criterion, scores, masks, (initial, final))
    return scores


def check_numbers(
    criterion: Criterion, scores: mask_functions.Scores, masks: Masks, weights: tuple[Kernels, Kernels]
) -> None:
    """Raise MemberError where a user's own criterion scores NaN: see `check_scores`."""
    if criterion.source:
        check_scores(criterion.name, scores, masks, weights)


@partial(jax.jit, static_argnums=0)
def _scores_of(
    criterion: Criterion,
    initial: Kernels,
    final: Kernels,
    masks: Masks,
    gradient: Kernels | None,
    key: Key[Array, ""] | None,
) -> mask_functions.Scores:
    return score_layers(criterion, facts_of(initial, final, masks, gradient, key))


Named = tuple[Number, Number]
"""Seed and round, from which compiled code derives a round's keys."""


@jax.jit
def _keep_best_of_layers(
    named: Named, scores: mask_functions.Scores, masks: Masks, counts: Mapping[str, Number]
) -> Masks:
    return mask_functions.keep_best_of_layers(_key(named, Purpose.TIES), scores, masks, counts)


@jax.jit
def _keep_best_of_network(named: Named, scores: mask_functions.Scores, masks: Masks, count: Number) -> Masks:
    return mask_functions.keep_best_of_network(_key(named, Purpose.TIES), scores, masks, count)


@partial(jax.jit, static_argnums=(0, 1))
def _start_kernels(
    kept_action: Action,
    pruned_action: Action,
    named: Named,
    before: tuple[Kernels, Kernels, Kernels, Masks, Masks],
    masks: Masks,
) -> Kernels:
    """Return `start_weights` of every layer, each with keys of its own."""
    keys = [_key(named, purpose) for purpose in (Purpose.KEPT_VALUES, Purpose.PRUNED_VALUES)]
    kernels: Kernels = {}
    for index, layer in enumerate(layer_order(masks)):
        initial, final, fresh, alive = (jnp.asarray(tree[layer]) for tree in before[:4])
        mask = jnp.asarray(masks[layer])
        zeroed = jnp.asarray(before[4][layer]) if layer in before[4] else jnp.zeros(mask.shape, bool)
        kept, pruned = (
            ActionFacts(jax.random.fold_in(key, index), initial, final, fresh, mask, alive, zeroed) for key in keys
        )
        kernels[layer] = start_weights(kept_action, pruned_action, kept, pruned)
    return kernels


def _key(named: Named, purpose: Purpose) -> Key[Array, ""]:
    seed, round_ = named
    return derive_key(seed, purpose, round_)
