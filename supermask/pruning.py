"""Pruning in one's own training loop: masks, restarts and frozen weights for any pytree of parameters.

    masks = prune(key, initial, final, large_final, fraction=0.2)
    params = restart(key, initial, final, masks)
    optimiser = freeze(optax.adamw(1e-3), masks)

What is done with a leaf is what the toolkit's own lottery tickets are made of: `masks.prune`, `actions.start_weights`.
Frankle & Carbin 2019 (arXiv 1803.03635), section 2; Zhou et al. 2019 (arXiv 1905.01067), sections 2 to 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Key, PyTree

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, Action, ActionFacts, rewind, start_weights, zero
from supermask.checks import check_key, check_names
from supermask.counts import RANKINGS, Number, check_fractions
from supermask.criteria import CRITERIA, Criterion, LayerFacts, large_final
from supermask.keys import layer_keys, layer_order
from supermask.masks import prune as prune_layers
from supermask.masks import prune_globally
from supermask.members import Function, Member
from supermask.network_facts import Loss, NetworkFacts, Outputs, check_scores
from supermask.overlaps import Agreement
from supermask.overlaps import agreement as agreement_of_layer
from supermask.trees import Leaves, MaskTree, Where, leaves_of, masked_leaves, only_kept, present, pruned_leaves

_DRAWS = 0x64726177
"""Folded into a key for a criterion's own draws: no number of a layer."""

_LOCAL = "used here"
"""The source of a function that is asked at once and never named in a result: it needs no digest."""


def prune(
    key: Key[Array, ""],
    initial: PyTree,
    final: PyTree,
    criterion: Criterion | Function = large_final,
    *,
    fraction: Number | Mapping[str, Number],
    masks: MaskTree = None,
    where: Where | None = None,
    gradient: PyTree = None,
    loss: Loss | None = None,
    outputs: Outputs | None = None,
    ranking: Literal["layer", "global"] = "layer",
) -> MaskTree:
    """Prune that fraction of the live weights: those that the criterion scores lowest, to the exact count.

    initial, final: the parameters before and after training, pytrees of one structure.
    criterion: one of `supermask.criteria` and `supermask.network_criteria`, or a function of a layer's facts by name
        (`w_initial`, `w_final`, `alive`, `gradient`, `key`), or of `network`, a `NetworkFacts`, which gives a score for
        every weight; the highest are kept.
    fraction: of each layer's live weights; or by path, where a layer without one is left as it is. With ranking
        'global', of all live weights.
    masks: those of the round before; without them every prunable weight is live.
    where: which leaves are pruned, by path and leaf; by default floating-point leaves of two axes and more that are no
        bias, normalisation or embedding. Not with `masks`, which say it.
    gradient: of the loss with respect to the initial parameters, for criteria that ask for it; or give the loss.
    loss: (parameters) -> the training loss, for criteria that ask for it, or for a gradient, such as `snip`, `grasp`.
    outputs: (parameters) -> outputs on inputs that are all 1, for criteria that ask for them, such as `synflow`.
    key: breaks ties, and is what criteria draw from.

    Floor(fraction × live) weights go. Works under `jit`, `vmap` and with sharded parameters.

    Raises ValueError where structures or shapes differ, where nothing is prunable, for fractions outside
    0 <= fraction < 1 and paths that are not there; MemberError for a function that cannot be a criterion, and, outside
    `jit`, for one that scores NaN where the weights are numbers.
    """
    if ranking not in RANKINGS:
        raise ValueError(f"ranking is {ranking!r}; allowed: 'layer' or 'global'")
    check_key(key)
    rates = check_fractions(fraction, ranking)
    leaves, alive = _alive(initial, masks, where)
    scored, draws = _criterion(criterion), jax.random.fold_in(key, _DRAWS)
    if scored.is_of_network:
        for name, tree in (("initial", initial), ("final", final)):
            leaves.fitting(f"{name} of {{}} has", tree)
        network = NetworkFacts(initial, final, leaves.as_masks(alive), draws, loss, outputs)
        scores = scored.of_network(network, leaves)
    else:
        if gradient is None and loss is not None and "gradient" in scored.needs:
            gradient = jax.grad(loss)(initial)
        trees = {"w_initial": initial, "w_final": final} | ({} if gradient is None else {"gradient": gradient})
        facts = _facts(leaves, trees)
        keys = layer_keys(draws, leaves.prunable)
        scores = {path: scored(LayerFacts(alive=alive[path], key=keys[path], **facts[path])) for path in keys}
    weights = [leaves.chosen(tree) for tree in (initial, final, *([] if gradient is None else [gradient]))]
    check_scores(scored.name, scores, alive, weights)
    if isinstance(rates, Mapping):
        check_names("fraction", rates, leaves.prunable)
        by_path = rates
    elif ranking == "global":
        return leaves.as_masks(prune_globally(key, scores, alive, rates))
    else:
        by_path = dict.fromkeys(leaves.prunable, rates)
    return leaves.as_masks(prune_layers(key, scores, alive, by_path))


def restart(
    key: Key[Array, ""],
    initial: PyTree,
    final: PyTree,
    masks: MaskTree,
    *,
    kept: Action | Function = rewind,
    pruned: Action | Function = zero,
    before: MaskTree = None,
    start: PyTree = None,
    fresh: PyTree = None,
) -> PyTree:
    """Return parameters for the next round: kept weights restart by one action, weights pruned now freeze by another.

    masks: those of the next round. before: those of the round that ended; a weight that was dead then stays at its
        final value. Without them, all weights were live.
    kept, pruned: actions of `supermask.actions`, or functions of a layer's facts by name.
    start: the parameters that the round that ended started from. Rules such as `rewind_or_zero` need them from the
        second round on: a weight that they started at 0 has 0 for its initial value ever after.
    fresh: new initial parameters, for actions that draw anew (`reinit`).

    Leaves without a mask, such as biases, go back to `initial`, as in the lottery ticket algorithm; with `trained` they
    stay as they are in `final`.

    Raises ValueError where structures or shapes differ, and where an action asks for `fresh`, or with `before` for
    `start`, and there is none.
    """
    check_key(key)
    leaves, own = masked_leaves(initial, masks)
    alive = {path: jnp.ones_like(mask) for path, mask in own.items()}
    if before is not None:
        _, earlier = masked_leaves(initial, before)
        alive = {path: jnp.asarray(earlier.get(path, alive[path])) for path in own}
    facts = _facts(leaves, {"w_initial": initial, "w_final": final, "w_fresh": initial if fresh is None else fresh})
    kept_action, pruned_action = _action(kept), _action(pruned)
    for action in (kept_action, pruned_action):
        if fresh is None and "w_fresh" in action.needs:
            raise ValueError(f"{action.name} draws anew; allowed with fresh=..., new initial parameters")
    if before is not None and start is None and zeros_matter(kept_action, pruned_action):
        rules = f"{kept_action.name} and {pruned_action.name} go by which weights the last round started at 0"
        raise ValueError(f"{rules}; allowed with start=..., the parameters that it started from")
    begun = _facts(leaves, {"start": initial if start is None else start})
    values = {}
    for index, path in enumerate(layer_order(own)):
        zeroed = alive[path] & (begun[path]["start"] == 0) & (facts[path]["w_initial"] != 0)
        one, other = (
            ActionFacts(
                key=jax.random.fold_in(jax.random.fold_in(key, part), index),
                mask=jnp.asarray(own[path]),
                alive=alive[path],
                zeroed=zeroed,
                **facts[path],
            )
            for part in (0, 1)
        )
        weights = start_weights(kept_action, pruned_action, one, other)
        values[path] = weights.astype(jax.dtypes.canonicalize_dtype(leaves.all[path].dtype))
    return (masked_leaves(final, masks)[0] if kept_action.continues else leaves).with_chosen(values)


def zeros_matter(kept: Action, pruned: Action) -> bool:
    """Return whether an action asks which weights started at 0, and one of the two may have started some there."""
    return "zeroed" in kept.needs or ("zeroed" in pruned.needs and not kept.is_built_in)


def freeze(optimiser: optax.GradientTransformation, masks: MaskTree) -> optax.GradientTransformationExtraArgs:
    """Return the optimiser with pruned weights frozen: they stay unchanged, to the bit.

    Without masks (None), as before the first round, it is the optimiser itself.

    They get no gradient, so that neither momentum nor a norm for clipping counts them, and no update, so that no weight
    decay moves them. Kept weights and leaves without a mask are updated as ever.

    Raises ValueError, when it is initialised, where the masks do not fit the parameters.
    """
    inner = optax.with_extra_args_support(optimiser)
    if masks is None:
        return inner

    def init(params: PyTree) -> Any:
        masked_leaves(params, masks)
        return inner.init(params)

    def update(updates: PyTree, state: Any, params: PyTree = None, **extra: Any) -> tuple[PyTree, Any]:
        updates, state = inner.update(only_kept(updates, masks, 0.0), state, params, **extra)
        return only_kept(updates, masks, -0.0), state  # x + -0.0 is x for every x; +0.0 would make +0 of -0

    return optax.GradientTransformationExtraArgs(init, update)


def apply_masks(params: PyTree, masks: MaskTree) -> PyTree:
    """Return the parameters with pruned weights at 0. Raises ValueError where the masks do not fit."""
    return only_kept(params, masks, 0.0)


def agreement(first: MaskTree, second: MaskTree) -> Agreement:
    """Compare two masks of a layer or of a whole network. Raises ValueError if their structures differ."""
    one, other = present(first), present(second)
    for path, mask in (*one.items(), *other.items()):
        if getattr(mask, "dtype", None) != np.bool_:
            raise ValueError(f"mask of {path} is {getattr(mask, 'dtype', type(mask).__name__)}; allowed: bool, or None")
    if not one:
        raise ValueError("masks have no mask; allowed: at least one boolean array")
    if {path: mask.shape for path, mask in one.items()} != {path: mask.shape for path, mask in other.items()}:
        raise ValueError("masks are of different layers or shapes; allowed: two masks of one network")
    pairs = [agreement_of_layer(one[path], other[path]) for path in one]
    total = np.sum([(pair.size, pair.kept_first, pair.kept_second, pair.kept_both) for pair in pairs], axis=0)
    return Agreement(*map(int, total))


@dataclass(frozen=True)
class LayerSummary:
    """One leaf of a network: its path, its shape, and how many of its weights are kept."""

    path: str
    shape: tuple[int, ...]
    kept: int
    pruned_layer: bool

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Summary:
    """What is pruned, leaf by leaf; printed as a table."""

    layers: tuple[LayerSummary, ...]

    @property
    def weights_remaining(self) -> float:
        """Fraction of the weights in pruned layers that is kept."""
        pruned = [layer for layer in self.layers if layer.pruned_layer]
        return sum(layer.kept for layer in pruned) / max(sum(layer.size for layer in pruned), 1)

    @property
    def parameters_remaining(self) -> float:
        """Fraction of all parameters that is kept, dense ones included."""
        return sum(layer.kept for layer in self.layers) / max(sum(layer.size for layer in self.layers), 1)

    def __str__(self) -> str:
        rows = [("layer", "shape", "weights", "kept", "%")]
        for each in self.layers:
            share = f"{100 * each.kept / max(each.size, 1):.2f}" if each.pruned_layer else "dense"
            rows.append((each.path, "×".join(map(str, each.shape)), f"{each.size:,}", f"{each.kept:,}", share))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        sides = "<<>>>"
        lines = [
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
            for row in rows
        ]
        lines.append(f"{100 * self.weights_remaining:.2f}% of the weights that can be pruned are kept")
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__


def summary(params: PyTree, masks: MaskTree = None, where: Where | None = None) -> Summary:
    """Count the weights that are kept, leaf by leaf; without masks, all prunable weights count as kept.

    Raises ValueError where the masks do not fit, or nothing is prunable.
    """
    leaves, alive = _alive(params, masks, where)
    arrays = {path: leaf for path, leaf in leaves.all.items() if hasattr(leaf, "shape")}
    kept = {path: int(jnp.sum(alive[path])) if path in alive else leaf.size for path, leaf in arrays.items()}
    return Summary(
        tuple(LayerSummary(path, tuple(leaf.shape), kept[path], path in alive) for path, leaf in arrays.items())
    )


def _alive(params: PyTree, masks: MaskTree, where: Where | None) -> tuple[Leaves, dict[str, Any]]:
    """Return the parameters taken apart, and which of their prunable weights are live, by path."""
    if masks is None:
        leaves = leaves_of(params, where)
        return leaves, {path: jnp.ones(leaves.all[path].shape, bool) for path in leaves.prunable}
    if where is not None:
        raise ValueError("where is given with masks, which say what is pruned; allowed: one of the two")
    leaves, own = pruned_leaves(params, masks)
    return leaves, {path: jnp.asarray(mask) for path, mask in own.items()}


def _facts(leaves: Leaves, trees: Mapping[str, PyTree]) -> dict[str, dict[str, Any]]:
    """Return each prunable layer's values in every pytree, in float32, by path and by the tree's name."""
    chosen = {name: leaves.fitting(f"{name} of {{}} has", tree) for name, tree in trees.items()}
    for name, values in chosen.items():
        for path in leaves.prunable:
            if not jnp.issubdtype(dtype := jnp.asarray(values[path]).dtype, jnp.floating):
                raise ValueError(f"{name} of {path} is {dtype}; allowed: real floating-point numbers")
    return {
        path: {name: jnp.asarray(values[path], jnp.float32) for name, values in chosen.items()}
        for path in leaves.prunable
    }


def _criterion(given: Criterion | Function) -> Criterion:
    if isinstance(given, Action) or _is_of(given, {**KEPT_ACTIONS, **PRUNED_ACTIONS}):
        raise ValueError(f"criterion is {_name_of(given)}, an action; allowed: a criterion, or a function of facts")
    return given if isinstance(given, Criterion) else Criterion(_name_of(given), given, "", source=_LOCAL)


def _action(given: Action | Function) -> Action:
    if isinstance(given, Criterion) or _is_of(given, CRITERIA):
        raise ValueError(f"action is {_name_of(given)}, a criterion; allowed: an action, or a function of facts")
    return given if isinstance(given, Action) else Action(_name_of(given), given, source=_LOCAL)


def _is_of(given: object, members: Mapping[str, Member]) -> bool:
    return any(given is member.function for member in members.values())


def _name_of(function: Any) -> str:
    if isinstance(function, Member):
        return function.name
    name = getattr(function, "__name__", type(function).__name__)
    return name if name.isidentifier() and not name.startswith("_") else "function"
