"""Sign flips: which weights change their sign during a training, how often, and how long they wait in between.

    flips = watch_signs(params)
    for step in range(1, steps + 1):
        params, optimiser_state = train_step(params, optimiser_state)
        if step % 10 == 0:
            flips = record_flips(flips, params)
    print(flip_counts(flips))

A weight *flips* when a look finds another sign than the last look that found one. A weight of exactly 0 has no sign: it
keeps the one that it had, until a later look finds it on one side of 0. A weight that comes back to the side from which
it came has not flipped. A weight that was 0 from the start gets its first sign without a flip. NaN has no sign, either.
Pruned weights are never counted. Two flips between one look and the next are not seen.

Most weights keep their initial sign: arXiv 2602.17063 (2026).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Int, Int8, Int32, PyTree

from supermask.checks import check_whole
from supermask.params import AnyArray
from supermask.short import short
from supermask.trees import MaskTree, Where, flattened, leaves_of, masked_leaves

PRUNED = 2
"""Stands in place of a sign for a pruned weight, which is never counted."""


@short
class SignFlips(NamedTuple):
    """What looks at the signs of weights have found: a pytree for `jit`, `scan` and `vmap`, by the leaves' paths.

    looks: number of looks after the first.
    signs: of each weight at the last look at which it had one, 1 or -1; 0 before that, and 2 for a pruned weight.
    flips: number of flips of each weight.
    last: look of each weight's last flip; 0 before its first.
    waits: how many times a weight waited 1, 2, 3, ... looks between two flips; the last entry also counts longer times.
        The time before a weight's first flip is not counted.
    """

    looks: Int32[AnyArray, ""]
    signs: Mapping[str, Int8[AnyArray, "..."]]
    flips: Mapping[str, Int32[AnyArray, "..."]]
    last: Mapping[str, Int32[AnyArray, "..."]]
    waits: Mapping[str, Int32[AnyArray, " longest"]]


def watch_signs(params: PyTree, masks: MaskTree = None, *, where: Where | None = None, longest: int = 256) -> SignFlips:
    """Return the state of a first look at the weights, from which their flips are counted.

    masks: as `prune` returns them; their pruned weights are never counted, whatever they are frozen at.
    where: which leaves are watched, by path and leaf; by default those that `prune` prunes.
    longest: number of waiting times, in looks, that are told apart.

    Raises ValueError if no leaf is watched, if the masks do not fit, and for `longest` below 1.
    """
    check_whole("longest", longest, 1)
    leaves = leaves_of(params, where)
    kept = {} if masks is None else masked_leaves(params, masks)[1]
    signs = {path: _signs(leaves.all[path]) for path in leaves.prunable}
    signs |= {path: jnp.where(kept[path], own, jnp.int8(PRUNED)) for path, own in signs.items() if path in kept}
    flips, last = ({path: jnp.zeros(own.shape, jnp.int32) for path, own in signs.items()} for _ in range(2))
    return SignFlips(jnp.int32(0), signs, flips, last, {path: jnp.zeros(longest, jnp.int32) for path in signs})


def record_flips(flips: SignFlips, params: PyTree) -> SignFlips:
    """Look at the weights once more; return the state with the flips since the last look.

    Raises ValueError for parameters without the leaves that are watched, or with others of their shape.
    """
    weights, now = flattened(params), flips.looks + 1
    for path, signs in flips.signs.items():
        if (shape := getattr(weights.get(path), "shape", None)) != signs.shape:
            raise ValueError(f"params have {path} of shape {shape}; allowed: {signs.shape}, as at the first look")
    found = {
        path: _looked(weights[path], signs, flips.last[path], flips.waits[path], now)
        for path, signs in flips.signs.items()
    }
    return SignFlips(
        now,
        {path: look.signs for path, look in found.items()},
        {path: flips.flips[path] + look.flipped for path, look in found.items()},
        {path: look.last for path, look in found.items()},
        {path: look.waits for path, look in found.items()},
    )


class _Look(NamedTuple):
    """What a look finds at one leaf."""

    signs: Int8[Array, "..."]
    flipped: Bool[Array, "..."]
    last: Int32[Array, "..."]
    waits: Int32[Array, " longest"]


def _signs(weights: Any) -> Int8[Array, "..."]:
    """Return 1, -1, or 0 for what has no sign."""
    return (jnp.asarray(weights) > 0).astype(jnp.int8) - (jnp.asarray(weights) < 0).astype(jnp.int8)


def _looked(weights: Any, signs: AnyArray, last: AnyArray, waits: AnyArray, now: AnyArray) -> _Look:
    found = _signs(weights)
    flipped = signs * found == -1
    again, longest = flipped & (last > 0), waits.shape[0]
    waited = jnp.where(again, jnp.minimum(now - last, longest) - 1, longest)  # no place of `waits` for the others
    has_sign = (found != 0) & (signs != PRUNED)
    return _Look(
        jnp.where(has_sign, found, signs),
        flipped,
        jnp.where(flipped, now, last),
        jnp.asarray(waits).at[waited.ravel()].add(1, mode="drop"),
    )


@short
class RecordingState(NamedTuple):
    """The state of `recording_flips`: what looks have found, the number of steps, and the inner optimiser's state."""

    flips: SignFlips
    step: Int32[AnyArray, ""]
    inner: PyTree


def recording_flips(
    optimiser: optax.GradientTransformation,
    masks: MaskTree = None,
    *,
    every: int = 10,
    where: Where | None = None,
    longest: int = 256,
) -> optax.GradientTransformationExtraArgs:
    """Return the optimiser with a recorder of flips in its state; its updates are those of the optimiser.

    It looks at the parameters before the first step and after every `every` steps, as the next `update` gets them. Read
    the record with `flips_of`; `record_flips` adds the look after the last step. Under `vmap` every step computes one.
    The other arguments are those of `watch_signs`.

    Raises ValueError for `every` or `longest` below 1, and for an `update` without parameters.
    """
    check_whole("every", every, 1)
    check_whole("longest", longest, 1)
    inner = optax.with_extra_args_support(optimiser)

    def init(params: PyTree) -> RecordingState:
        return RecordingState(
            watch_signs(params, masks, where=where, longest=longest), jnp.int32(0), inner.init(params)
        )

    def update(
        updates: PyTree, state: RecordingState, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, RecordingState]:
        if params is None:
            raise ValueError("params are missing; allowed: update(gradient, state, params)")
        due = (state.step > 0) & (state.step % every == 0)
        flips = lax.cond(due, record_flips, lambda flips, params: flips, state.flips, params)
        updates, after = inner.update(updates, state.inner, params, **extra)
        return updates, RecordingState(flips, state.step + 1, after)

    return optax.GradientTransformationExtraArgs(init, update)


def flips_of(optimiser_state: PyTree) -> SignFlips:
    """Return the record in an optimiser's state, also inside a chain. Raises ValueError unless there is exactly one."""
    nodes = jax.tree.leaves(optimiser_state, is_leaf=lambda node: isinstance(node, SignFlips))
    found = [node for node in nodes if isinstance(node, SignFlips)]
    if len(found) != 1:
        raise ValueError(f"optimiser_state has {len(found)} records of flips; allowed: one, of sm.recording_flips")
    return found[0]


@short
class FlipCounts(NamedTuple):
    """Numbers of weights, and of flips.

    weights: those that had a sign at any look. changed: those whose last sign is not their first. flipped: those that
    flipped at least once. flips: all flips.
    """

    weights: int
    changed: int
    flipped: int
    flips: int

    @classmethod
    def of(cls, flips: Int[np.ndarray, " weights"]) -> "FlipCounts":
        """Count weights by each one's number of flips: after an odd number, a weight has another sign than at first."""
        return cls(flips.size, int(np.sum(flips % 2)), int(np.sum(flips > 0)), int(flips.sum()))


def flip_counts(flips: SignFlips) -> dict[str, FlipCounts]:
    """Return, by path, how many weights changed their sign, and how often."""
    return {path: FlipCounts.of(each) for path, each in _counted(flips).items()}


def flip_numbers(flips: SignFlips) -> dict[str, Int[np.ndarray, " most"]]:
    """Return, by path, how many weights flipped 0, 1, 2, ... times; `tails.geometric_tail` fits such numbers."""
    return {path: np.bincount(each) for path, each in _counted(flips).items()}


def flips_by_distance(flips: SignFlips, initial: PyTree, parts: int = 10) -> dict[str, tuple[FlipCounts, ...]]:
    """Return, by path, the counts of equal parts of the leaf's weights, by their initial distance from 0.

    initial: the parameters of the first look. The first part has the weights that were nearest to 0. Parts differ by
    one weight at most. Raises ValueError for `parts` below 1, and for parameters that do not fit.
    """
    check_whole("parts", parts, 1)
    weights, found = flattened(initial), {}
    for path, counted in _counted(flips).items():
        if (shape := getattr(weights.get(path), "shape", None)) != flips.signs[path].shape:
            raise ValueError(f"initial has {path} of shape {shape}; allowed: {flips.signs[path].shape}")
        distance = np.abs(np.asarray(weights[path], np.float64))[_have_signs(flips, path)]
        order = np.array_split(np.argsort(distance, kind="stable"), parts)
        found[path] = tuple(FlipCounts.of(counted[part]) for part in order)
    return found


def _counted(flips: SignFlips) -> dict[str, Int[np.ndarray, " weights"]]:
    """Return each leaf's numbers of flips of the weights that had a sign at any look and are not pruned."""
    return {path: np.asarray(each)[_have_signs(flips, path)] for path, each in flips.flips.items()}


def _have_signs(flips: SignFlips, path: str) -> Bool[np.ndarray, "..."]:
    return np.abs(np.asarray(flips.signs[path])) == 1
