"""Wraps a method of sparse training as an optax optimiser of any pytree, which the method sees as layers."""

from collections.abc import Callable, Container, Mapping
from functools import wraps
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from supermask.checks import check_key, check_whole
from supermask.keys import AnyKey
from supermask.params import AnyArray, Params, kernels_of, with_kernels
from supermask.short import short
from supermask.sparse_training import Horizon, MethodSpec, State
from supermask.sparse_training.densities import layer_counts
from supermask.trees import MaskTree, Where, flattened, leaves_of, masked_leaves, present, structure_of

Distribution = Literal["erk", "uniform"]
P = ParamSpec("P")
T = TypeVar("T")


@short
class SparseState(NamedTuple):
    """The state of these optimisers.

    masks: which weights are live, as a pytree with the parameters' structure; None where a leaf stays dense.
    method: the method's other state by path, including the inner optimiser's.
    """

    masks: MaskTree
    method: State


def masks_of(optimiser_state: PyTree, params: PyTree) -> MaskTree:
    """Return the masks in an optimiser's state, also inside a chain, `multi_transform`, or `nnx.Optimizer`.

    The masks have the structure of `params`, the parameters that the optimiser trains, with None where a leaf is dense.
    If different methods train parts of a network, the masks of all parts are combined.

    Raises ValueError if there are no masks, or none that fit the parameters.
    """
    leaves = jax.tree.leaves(optimiser_state, is_leaf=lambda node: isinstance(node, SparseState))
    found = [leaf.masks for leaf in leaves if isinstance(leaf, SparseState)]
    if not found:
        raise ValueError("optimiser_state has no masks; allowed: the state of an optimiser such as sm.rigl")
    by_path = {path: mask for masks in found for path, mask in flattened(masks).items() if mask is not None}
    masks = leaves_of(params, lambda path, leaf: path in by_path).as_masks(by_path)
    masked_leaves(params, masks)
    return masks


def as_optimiser(
    entry: MethodSpec,
    optimiser: optax.GradientTransformation,
    density: float,
    horizon: Horizon,
    key: AnyKey,
    config: Any,
    distribution: Distribution,
    where: Where | None,
) -> optax.GradientTransformationExtraArgs:
    """Return a method as an optimiser of any pytree, which the method sees as layers."""
    check_whole("steps", horizon.steps, 1)
    _check_generator(key)
    inner = optax.with_extra_args_support(optimiser)
    entry.make(inner, horizon, config)  # raises before training if it is too short

    def init(params: PyTree) -> SparseState:
        leaves = leaves_of(params, where)
        layers = _as_layers(params, leaves.prunable)
        shapes = {path: tuple(leaves.all[path].shape) for path in leaves.prunable}
        starting = entry.make(_that_starts(inner, params), horizon, config)
        state = starting.init(key, layers, layer_counts(shapes, density, distribution))
        within = jax.tree.leaves(state.optimiser, is_leaf=lambda node: isinstance(node, SparseState))
        if any(isinstance(node, SparseState) for node in within):
            raise ValueError("optimiser has masks of its own; allowed: one without, such as optax.adam")
        return SparseState(leaves.as_masks(state.masks), state._replace(masks={}))

    def update(updates: PyTree, state: SparseState, params: PyTree = None, **extra: Any) -> tuple[PyTree, SparseState]:
        if params is None:
            raise ValueError("params are missing; allowed: update(gradient, state, params)")
        _, masks = masked_leaves(params, state.masks)
        method, layers = entry.make(_seen_as_layers(inner, params, extra), horizon, config), _as_layers(params, masks)
        before, grads = state.method._replace(masks=masks), _as_layers(updates, masks)
        moved, after, added = method.step(before, grads, layers)
        stay = lambda state, grads, params: (params, state)  # noqa: E731
        _, after = jax.lax.cond(method.due(after.step), method.rewire, stay, after, grads, moved)
        weights, found = kernels_of(layers), after.masks
        to_add = {
            path: _to_add(kernel, weights[path], masks[path], found[path]) for path, kernel in kernels_of(added).items()
        }
        structure = structure_of(state.masks)
        new = structure.unflatten([found.get(path) for path in flattened(state.masks)])
        return _from_layers(with_kernels(added, to_add), updates), SparseState(new, after._replace(masks={}))

    return optax.GradientTransformationExtraArgs(_promoting(init), _promoting(update))


def _promoting(function: Callable[P, T]) -> Callable[P, T]:
    """Have the methods' arithmetic promote types as usual, also where the rest of a program has strict promotion."""

    @wraps(function)
    def promoting(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return promoting


def _to_add(update: AnyArray, weights: AnyArray, was: AnyArray, is_live: AnyArray) -> Array:
    """Return the update that sets dead weights to 0 and regrown weights to the method's value when it is added."""
    return jnp.where(is_live, jnp.where(was, update, update - weights), -weights)


def _check_generator(key: Any) -> None:
    """Raise ValueError for other keys than threefry keys, the only ones that the toolkit uses."""
    check_key(key)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and str(jax.random.key_impl(key)) != "threefry2x32":
        raise ValueError(f"key is of {jax.random.key_impl(key)}; allowed: jax.random.key(seed, impl='threefry2x32')")


def _as_layers(tree: PyTree, prunable: Container[str]) -> Params:
    """Return a pytree as layers: each leaf is one, named by its path, and has a kernel if it is pruned."""
    return {path: {"kernel" if path in prunable else "dense": leaf} for path, leaf in present(tree).items()}


def _from_layers(layers: Params, like: PyTree) -> PyTree:
    """Return the leaves of layers in the structure of a pytree."""
    structure = structure_of(like)
    by_path = {path: leaf for path, leaves in layers.items() for leaf in leaves.values()}
    return structure.unflatten([by_path.get(path) for path in flattened(like)])


def _seen_as_layers(
    optimiser: optax.GradientTransformationExtraArgs, like: PyTree, extra: Mapping[str, Any]
) -> optax.GradientTransformation:
    """Adapt an optimiser of a pytree to the pytree's layers; its state keeps the pytree's structure."""

    def init(params: Params) -> PyTree:
        return optimiser.init(_from_layers(params, like))

    def update(grads: Params, state: PyTree, params: Params | None = None) -> tuple[Params, PyTree]:
        trees = [None if each is None else _from_layers(each, like) for each in (grads, params)]
        updates, state = optimiser.update(trees[0], state, trees[1], **extra)
        prunable = () if params is None else kernels_of(params)
        return _as_layers(updates, prunable), state

    return optax.GradientTransformation(init, update)


def _that_starts(optimiser: optax.GradientTransformationExtraArgs, like: PyTree) -> optax.GradientTransformation:
    """Return an optimiser with the given one's `init` only; its steps get their extra arguments with each update."""
    return optax.GradientTransformation(_seen_as_layers(optimiser, like, {}).init, optax.identity().update)
