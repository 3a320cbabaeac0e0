"""Parts shared by all methods of sparse training: types, steps, and the change from one mask to the next.

A method trains a network in which only some weights are live; the others are exactly 0 in every forward pass. Like an
optax optimiser, it is a pair of pure functions, `init` and `update`, closed over its hyperparameters:

    method = rigl(optax.adam(1e-3), Horizon(steps=20_000, epoch=1_000))
    state = method.init(key, params, counts)
    params, state, info = method.update(state, grads, params)

`params` are the network's parameters, with zeros where weights are dead. `grads` is the gradient of the loss with
respect to all of them, dead weights included, because some methods grow weights by it. The number of live weights per
layer (`counts`) is data, not shape: one compiled program trains every density.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int, Int32, PyTree, UInt32

from supermask.keys import AnyKey, layer_order, raw_key, step_key
from supermask.masks import Masks
from supermask.params import Kernels, Params, kernels_of, masked_update, pruned
from supermask.short import short
from supermask.sparse_training.optimiser_state import restarted

Counts = Mapping[str, Int[Array, ""] | int]
LayerCounts = dict[str, Int32[Array, ""]]

AnyStep = Int[Array, "..."] | Int[np.ndarray, "..."] | int

PERIOD = 100
"""Steps between changes of the mask, as published for RigL and SET (Evci et al. 2020)."""


class Horizon(NamedTuple):
    """Length of a training, on which schedules depend: its steps, and the steps of one epoch."""

    steps: int
    epoch: int

    @property
    def period(self) -> int:
        """Steps between changes of the mask: `PERIOD`, or a fiftieth of a training shorter than 5,000 steps."""
        return min(PERIOD, max(self.steps // 50, 1))


@short
class State(NamedTuple):
    """A method's state for one network: arrays only, so that it can be stacked and stored.

    step: number of steps taken.
    key: the seed's raw threefry key. A step draws from `fold_in(key, step)`.
    masks: which weights are live.
    kept: requested number of live weights per layer; methods that move weights between layers keep the sum.
    optimiser: the optimiser's state. It is 0 for dead weights, except under DNW, which trains them.
    own: the method's own memory.
    """

    step: Int32[Array, ""]
    key: UInt32[Array, "2"]
    masks: Masks
    kept: LayerCounts
    optimiser: PyTree
    own: PyTree


@short
class Info(NamedTuple):
    """Effect of one step, for plots: live weights per layer after it, and weights that came alive in it."""

    live: LayerCounts
    grown: LayerCounts


@runtime_checkable
class Init(Protocol):
    """Makes the initial state. `counts`: live weights per layer; `masks`: which ones, if given."""

    def __call__(self, key: AnyKey, params: Params, counts: Counts, masks: Masks | None = None) -> State:
        """Return the state before the first step."""
        ...


Advance = Callable[[State, Params, Params], tuple[Params, State]]
Step = Callable[[State, Params, Params], tuple[Params, State, Params]]
Update = Callable[[State, Params, Params], tuple[Params, State, Info]]
Due = Callable[[AnyStep], Any]


@short
class Method(NamedTuple):
    """A method of sparse training as functions of one network.

    init: (key, params, counts) -> state. `start` returns the matching parameters.
    update: (state, grads, params) -> (params, state, info). One step: `advance`, then `rewire` if `due`.
    advance: the step of the weights alone.
    step: the same, and returns also the updates of live weights and of dense leaves, in optax's sense.
    rewire: the change of the mask alone.
    due: number of steps taken (or an array of them) -> whether the mask changes after the last of these steps.
    dense_steps: number of steps before a change that need the gradient of dead weights; None for all steps of the
        training. Every other step is only the optimiser's step on live weights and biases.
    """

    init: Init
    update: Update
    advance: Advance
    step: Step
    rewire: Advance
    due: Due
    dense_steps: int | None


def never(step: AnyStep) -> Any:
    """Return False: the mask never changes."""
    return step != step


def make_method(
    init: Init,
    step: Step,
    rewire: Advance,
    due: Due,
    horizon: Horizon | None = None,
    dense_steps: int | None = 0,
) -> Method:
    """Build a method from its parts. `horizon` is given for methods whose masks change.

    Raises ValueError if the training ends before the first change, because that would silently be static training.
    """
    if horizon is not None and not np.any(due(np.arange(1, horizon.steps + 1))):
        raise ValueError(
            f"steps are {horizon.steps}; the method never changes its mask in so few. Allowed: a longer training (an "
            f"epoch has {horizon.epoch} steps), or in Python a smaller `every`"
        )

    def advance(state: State, grads: Params, params: Params) -> tuple[Params, State]:
        params, state, _ = step(state, grads, params)
        return params, state

    def update(state: State, grads: Params, params: Params) -> tuple[Params, State, Info]:
        before = state.masks
        params, state = advance(state, grads, params)
        stay = lambda state, grads, params: (params, state)  # noqa: E731
        params, state = lax.cond(due(state.step), rewire, stay, state, grads, params)
        return params, state, inform(before, state.masks)

    return Method(init, update, advance, step, rewire, due, dense_steps)


def start(state: State, params: Params) -> Params:
    """Return the initial parameters of a training: `params`, with dead weights at 0."""
    return pruned(params, state.masks)


def initial_state(
    optimiser: optax.GradientTransformation, key: AnyKey, params: Params, counts: Counts, masks: Masks, own: PyTree
) -> State:
    """Return a state before the first step.

    Raises ValueError for an optimiser whose step needs more than gradients, state and parameters.
    """
    live = pruned(params, masks)
    kept = {layer: jnp.asarray(counts[layer], jnp.int32) for layer in sorted(masks)}
    optimiser_state = optimiser.init(live)
    try:
        jax.eval_shape(optimiser.update, live, optimiser_state, live)
    except TypeError as error:
        raise ValueError(f"optimiser has no step of gradients, state and parameters alone: {error}") from None
    return State(jnp.int32(0), raw_key(key), masks, kept, optimiser_state, own)


def random_masks(key: AnyKey, kernels: Kernels, counts: Counts) -> Masks:
    """Choose exactly `counts[layer]` weights of each layer at random, by sorting: it compiles fast, and runs once."""
    masks: Masks = {}
    for index, layer in enumerate(layer_order(kernels)):
        size = kernels[layer].size
        order = jnp.argsort(jax.random.bits(jax.random.fold_in(step_key(key, 0), index), (size,), jnp.uint32))
        places = jnp.zeros(size, jnp.int32).at[order].set(jnp.arange(size, dtype=jnp.int32))
        masks[layer] = (places < counts[layer]).reshape(kernels[layer].shape)
    return masks


def sparse_init(optimiser: optax.GradientTransformation, own: Callable[[Params], PyTree] = lambda params: ()) -> Init:
    """Return an `init` that chooses random live weights unless masks are given. `own` makes the method's memory."""

    def init(key: AnyKey, params: Params, counts: Counts, masks: Masks | None = None) -> State:
        masks = random_masks(key, kernels_of(params), counts) if masks is None else masks
        return initial_state(optimiser, key, params, counts, masks, own(params))

    return init


def live_step(optimiser: optax.GradientTransformation) -> Step:
    """Return a step of the optimiser on live weights and biases. Dead weights get no gradient, so no momentum."""

    def step(state: State, grads: Params, params: Params) -> tuple[Params, State, Params]:
        updates, optimiser_state = optimiser.update(pruned(grads, state.masks), state.optimiser, params)
        params = masked_update(params, updates, {layer: jnp.asarray(mask) for layer, mask in state.masks.items()})
        after = state._replace(step=state.step + 1, optimiser=optimiser_state)
        return params, after, pruned(updates, state.masks)

    return step


def move_to(
    optimiser: optax.GradientTransformation, state: State, params: Params, masks: Masks
) -> tuple[Params, State]:
    """Change to other masks: a weight that comes alive starts at 0, and so does its state in the optimiser.

    Raises ValueError for an optimiser whose state of single weights cannot be identified (see `restarted`).
    """
    stays = {layer: mask & state.masks[layer] for layer, mask in masks.items()}
    optimiser_state = restarted(optimiser, state.optimiser, params, stays)
    return pruned(params, stays), state._replace(masks=masks, optimiser=optimiser_state)


def magnitudes(params: Params) -> dict[str, Float[Array, "..."]]:
    """Return |w| of every kernel."""
    return {layer: jnp.abs(jnp.asarray(kernel)) for layer, kernel in kernels_of(params).items()}


def count_of(masks: Masks) -> LayerCounts:
    """Return the number of ones in each layer's mask."""
    return {layer: jnp.sum(jnp.asarray(mask), dtype=jnp.int32) for layer, mask in masks.items()}


def inform(before: Masks, after: Masks) -> Info:
    """Return what a step did to the masks."""
    return Info(count_of(after), count_of({layer: after[layer] & ~jnp.asarray(before[layer]) for layer in after}))


def apportion(
    total: Int32[Array, ""], shares: Float[Array, " layers"], room: Int32[Array, " layers"]
) -> Int32[Array, " layers"]:
    """Distribute `total` over layers in proportion to their shares, up to each layer's room; the sum is exact.

    What a full layer cannot take goes to the others by their shares, or evenly if those are all 0. The last few units
    go to the largest remainders. There must be room for `total`.
    """
    layers = shares.shape[0]
    shares = jnp.where(jnp.isfinite(shares), shares, 0.0)

    def weights(given: Array) -> Array:
        open_shares = jnp.where(given < room, shares, 0.0)
        return jnp.where(jnp.sum(open_shares) > 0, open_shares, (given < room).astype(jnp.float32))

    def deal(_: Array | int, given: Array) -> Array:
        part = weights(given)
        quota = (total - jnp.sum(given, dtype=jnp.int32)).astype(jnp.float32) * (
            part / jnp.maximum(jnp.sum(part), 1e-30)
        )
        return given + jnp.minimum(jnp.floor(quota).astype(jnp.int32), room - given)

    def hand_out_one(_: Array | int, given: Array) -> Array:
        part = weights(given)
        owed = total.astype(jnp.float32) * part / jnp.maximum(jnp.sum(part), 1e-30) - given.astype(jnp.float32)
        neediest = jnp.argmax(jnp.where(given < room, owed, -jnp.inf)).astype(jnp.int32)
        left = total - jnp.sum(given, dtype=jnp.int32)
        return given + (jnp.arange(layers, dtype=jnp.int32) == neediest) * jnp.minimum(left, 1)

    given = lax.fori_loop(0, layers + 1, deal, jnp.zeros(layers, jnp.int32))
    return lax.fori_loop(0, layers, hand_out_one, given)


@dataclass(frozen=True)
class Cosine:
    """A fraction that decays from `first` to `last` over `steps` along half a cosine.

    Raises ValueError for fractions outside 0..1.
    """

    first: float
    last: float
    steps: int

    def __post_init__(self) -> None:
        for name in ("first", "last"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: 0 to 1")

    def __call__(self, step: Int32[Array, ""]) -> Float[Array, ""]:
        """Return the fraction after `step` steps."""
        progress = jnp.minimum(step.astype(jnp.float32) / max(self.steps, 1), 1.0)
        return self.last + (self.first - self.last) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
