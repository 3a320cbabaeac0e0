"""Discovers a wiring among candidate edges by DNW's rule; a fixed wiring has only its live edges as candidates.

Discovered and random wirings are therefore trained by one program and differ only in their candidates. The candidates
of largest |w| are live; the gradient at that network updates all candidates (straight-through). Wortsman, Farhadi &
Rastegari 2019 (arXiv 1906.00586), section 2.3; the rule itself is in `sparse_training.dnw`.
"""

from typing import NamedTuple

import jax
import optax

from supermask.keys import AnyKey
from supermask.masks import Masks
from supermask.params import Params, kernels_of, pruned
from supermask.short import short
from supermask.sparse_training import MethodSpec
from supermask.sparse_training.base import Counts, Horizon, Method, State, make_method, never
from supermask.sparse_training.dnw import DNWConfig, Edges, dnw


@short
class Candidates(NamedTuple):
    """State of the method: DNW's, and the candidate edges."""

    edges: Edges
    masks: Masks


def discover(optimiser: optax.GradientTransformation, horizon: Horizon, config: DNWConfig | None = None) -> Method:
    """Return DNW among candidates, which are the masks passed to `init`, or all edges.

    All other edges always have weight 0 and no gradient. There must be at least as many candidates as live edges.
    """
    rule = dnw(optimiser, horizon, config)

    def init(key: AnyKey, params: Params, counts: Counts, masks: Masks | None = None) -> State:
        candidates = jax.tree.map(lambda kernel: kernel == kernel, kernels_of(params)) if masks is None else masks
        state = rule.init(key, pruned(params, candidates), counts)
        return state._replace(own=Candidates(state.own, candidates))

    def step(state: State, grads: Params, params: Params) -> tuple[Params, State, Params]:
        own: Candidates = state.own
        grads = pruned(grads, own.masks)
        params, moved, updates = rule.step(state._replace(own=own.edges), grads, params)
        return params, moved._replace(own=own._replace(edges=moved.own)), updates

    stay = lambda state, grads, params: (params, state)  # noqa: E731
    return make_method(init, step, stay, never)


DISCOVER = MethodSpec(discover, DNWConfig, "layer")
"""The method's entry for the sparse trainer."""
