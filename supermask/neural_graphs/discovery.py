"""Finding a wiring among candidates, by DNW's rule; a fixed wiring is the case of no more candidates than live edges.

So discovered and random wirings are trained by one program, and differ in nothing but what there is to choose from. The
edges of largest |w| among the candidates are live; all candidates get the gradient at that network (straight-through).
Wortsman, Farhadi & Rastegari 2019 (arXiv 1906.00586), section 2.3; the rule itself is in `sparse_training.dnw`.
"""

from typing import NamedTuple

import jax
import optax

from supermask.masks import Masks
from supermask.networks import Params, kernels_of, with_kernels
from supermask.short import short
from supermask.sparse_training import Entry
from supermask.sparse_training.base import AnyKey, Counts, Horizon, Method, State, make_method, masked, never
from supermask.sparse_training.dnw import DNWConfig, Edges, dnw


@short
class Candidates(NamedTuple):
    """The method's own memory: DNW's, and which edges it may choose from."""

    edges: Edges
    masks: Masks


def discover(optimiser: optax.GradientTransformation, horizon: Horizon, config: DNWConfig | None = None) -> Method:
    """DNW among candidates: the masks that `init` is given, or everything.

    An edge that is no candidate has weight 0 and no gradient for good. There must be as many candidates as live edges.
    """
    rule = dnw(optimiser, horizon, config)

    def init(key: AnyKey, params: Params, counts: Counts, masks: Masks | None = None) -> State:
        candidates = jax.tree.map(lambda kernel: kernel == kernel, kernels_of(params)) if masks is None else masks
        state = rule.init(key, with_kernels(params, masked(kernels_of(params), candidates)), counts)
        return state._replace(own=Candidates(state.own, candidates))

    def advance(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        own: Candidates = state.own
        grads = with_kernels(grads, masked(kernels_of(grads), own.masks))
        params, moved = rule.advance(state._replace(own=own.edges), grads, params)
        return params, moved._replace(own=own._replace(edges=moved.own))

    stay = lambda state, grads, params: (params, state)  # noqa: E731
    return make_method(init, advance, stay, never)


DISCOVER = Entry(discover, DNWConfig, "layer")
"""The method as the trainer of sparse networks takes it."""
