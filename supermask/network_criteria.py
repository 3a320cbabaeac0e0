"""Criteria that judge a weight by the whole network: GraSP, SynFlow, and SNIP and SynFlow in steps.

They ask at the initial weights, with pruned ones at 0: before any training, or in each round of pruning anew. The
scores are those of `at_initialisation`, which prunes by them in one call.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32, PyTree

from supermask.at_initialisation import grasp_scores, snip_scores, synflow_scores
from supermask.checks import check_whole
from supermask.counts import own_number
from supermask.criteria import Criterion
from supermask.masks import Masks, keep_best_of_network
from supermask.network_facts import NetworkFacts, scores_by_path
from supermask.trees import only_kept, pruned_leaves


def grasp(network: NetworkFacts) -> PyTree:
    """w · Hg at the initial weights, H the loss's Hessian and g its gradient: a weight's part in the gradient's norm.

    Wang, Zhang & Grosse 2020 (arXiv 2002.07376), equation 8, with the sign under which the highest are kept.
    """
    return grasp_scores(network.loss)(network.masked(network.initial))


def softened_grasp(temperature: float) -> Criterion:
    """Return GraSP of the loss whose logits are divided by a temperature; its authors' code takes 200.

    Near-equal probabilities make the loss almost linear in the logits. On networks whose logits are not small, masks
    differ much: without the temperature the kept weights of FC overshoot, and a third of its hidden units is dead. Its
    name tells the temperature: 'softened_grasp_200'. Wang, Zhang & Grosse 2020 (arXiv 2002.07376), released code.

    Raises ValueError for a temperature that is not a finite number above 0.
    """
    value = float(own_number("temperature", temperature))
    if not 0 < value < float("inf"):
        raise ValueError(f"temperature is {temperature}; allowed: finite numbers above 0")
    text = repr(value).removesuffix(".0").replace("e+", "e")
    return Criterion(f"softened_grasp_{text}", _SoftenedGrasp(value), f"w·Hg of logits / {text}")


@dataclass(frozen=True)
class _SoftenedGrasp:
    """GraSP at a temperature."""

    temperature: float

    def __call__(self, network: NetworkFacts) -> PyTree:
        return grasp_scores(network.softened_loss(self.temperature))(network.masked(network.initial))


def synflow(network: NetworkFacts) -> PyTree:
    """|w| · ∂R/∂|w| at the initial weights, R the sum of outputs of the network of |w| on inputs that are all 1.

    Tanaka et al. 2020 (arXiv 2006.05467), algorithm 1, one step of it; `iterative_synflow` takes many.
    """
    return synflow_scores(network.outputs)(network.masked(network.initial))


def iterative_snip(steps: float, density: float = 0.01) -> Criterion:
    """Return the criterion that prunes by SNIP in that many steps, asked anew at the weights that are left.

    Weights score by how long they stay: those of one step by |g · w| there. In step k of `steps` all but density^(k /
    steps) of the live weights are gone, so one ranking serves every level down to `density`, below which the last
    step's scores decide. de Jorge et al. 2021 (arXiv 2006.09081) take some hundred steps. Its name tells the
    parameters: 'iterative_snip_100', or 'iterative_snip_100_0.05'.

    Raises ValueError for steps that are not a whole number from 1 on, or a density outside 0..1, exclusive.
    """
    return _iterative("snip", "|g·w|", steps, density)


def iterative_synflow(steps: float, density: float = 0.01) -> Criterion:
    """Return the same by SynFlow's scores; Tanaka et al. 2020 (arXiv 2006.05467) take 100 steps."""
    return _iterative("synflow", "|w|·∂R/∂|w|", steps, density)


def _iterative(kind: str, formula: str, steps: float, density: float) -> Criterion:
    steps, density = own_number("steps", steps), own_number("density", density)
    if not float(steps).is_integer():
        raise ValueError(f"steps is {steps}; allowed: whole numbers from 1 on")
    check_whole("steps", int(steps), 1)
    if not 0 < density < 1:
        raise ValueError(f"density is {density}; allowed: 0 < density < 1")
    name = f"iterative_{kind}_{int(steps)}" + ("" if density == 0.01 else f"_{density!r}")
    return Criterion(name, _Iterative(kind, int(steps), density), f"{formula} in {int(steps)} steps")


@dataclass(frozen=True)
class _Iterative:
    """Ranks of weights by the step at which they go, and by their score there."""

    kind: str
    steps: int
    density: float

    def __call__(self, network: NetworkFacts) -> PyTree:
        score = snip_scores(network.loss) if self.kind == "snip" else synflow_scores(network.outputs)
        leaves, alive = pruned_leaves(network.initial, network.masks)
        live = sum((jnp.sum(mask, dtype=jnp.int32) for mask in alive.values()), start=jnp.int32(0))
        left = np.asarray([self.density ** (k / self.steps) for k in range(1, self.steps + 1)], np.float32)
        counts = jnp.ceil(live.astype(jnp.float32) * left).astype(jnp.int32)

        def step(index: Array | int, carried: _Carried) -> _Carried:
            masks, lasted, last = carried
            params = only_kept(network.initial, leaves.as_masks(masks), 0.0)
            scores = scores_by_path(leaves, score(params))
            last = {path: jnp.where(mask, scores[path], last[path]) for path, mask in masks.items()}
            kept = keep_best_of_network(jax.random.fold_in(network.key, index), scores, masks, counts[index])
            return kept, {path: lasted[path] + jnp.asarray(kept[path]) for path in kept}, last

        masks: Masks = {path: jnp.asarray(mask) for path, mask in alive.items()}
        begun = {path: jnp.where(mask, 0, -1).astype(jnp.int32) for path, mask in masks.items()}
        unscored = {path: jnp.zeros(mask.shape, jnp.float32) for path, mask in masks.items()}
        _, lasted, last = lax.fori_loop(0, self.steps, step, (masks, begun, unscored))
        return leaves.with_chosen(_ranks(lasted, last))


_Carried = tuple[Masks, dict[str, Array], dict[str, Array]]
"""Masks, the steps that weights lasted, and their last scores."""


def _ranks(lasted: Mapping[str, Int32[Array, "..."]], last: Mapping[str, Float[Array, "..."]]) -> dict[str, Array]:
    """Order weights by the steps that they lasted, then by their last score; equal ones have equal ranks."""
    paths = list(lasted)
    steps = jnp.concatenate([lasted[path].ravel() for path in paths])
    scores = jnp.concatenate([last[path].ravel() for path in paths])
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    order = jnp.lexsort((scores, steps))
    sorted_steps, sorted_scores = steps[order], scores[order]
    later = (sorted_steps[1:] != sorted_steps[:-1]) | (sorted_scores[1:] != sorted_scores[:-1])
    places = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(later, dtype=jnp.int32)])
    ranks = jnp.zeros(steps.size, jnp.float32).at[order].set(places.astype(jnp.float32))
    pieces = jnp.split(ranks, np.cumsum([lasted[path].size for path in paths])[:-1])
    return {path: piece.reshape(lasted[path].shape) for path, piece in zip(paths, pieces, strict=True)}


NETWORK_CRITERIA: Mapping[str, Criterion] = {
    criterion.name: criterion
    for criterion in (
        Criterion("grasp", grasp, "w·Hg"),
        Criterion("synflow", synflow, "|w|·∂R/∂|w|"),
    )
}
"""Criteria of the whole network, by name."""
