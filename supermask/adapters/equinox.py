"""Equinox modules as networks."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from supermask.adapters.adapted import Adapted, by_path, network_of, rebuilt
from supermask.model import Images
from supermask.short import short
from supermask.trees import Where

AXIS = "batch"
"""Name of the axis over which batch norm normalises."""


class _Parts(NamedTuple):
    """What a module is beside the values of its arrays."""

    static: Any
    params: tuple[Any, tuple[str, ...]]
    state: tuple[Any, tuple[str, ...]]
    arguments: frozenset[str]


@short
@dataclass(frozen=True)
class EquinoxModel:
    """A factory of Equinox modules as a `Model`: of one image, channels first, as Equinox's layers read it."""

    make: Callable[[Key[Array, ""]], Any]

    @property
    def draws(self) -> bool:
        """Whether its call takes a key."""
        return "key" in _parts(self.make).arguments

    def init(self, key: Key[Array, ""], images: Images) -> tuple[PyTree, PyTree]:
        """Make a module; return its floating arrays, and its other arrays with its `equinox.nn.State`."""
        _, params, state = _taken_apart(self.make(key))
        kept = _numbered(state)
        return by_path(params), {"state": kept} if kept else {}

    def apply(
        self, params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None, *, training: bool
    ) -> tuple[Any, PyTree]:
        """Return the outputs of every image, and the state after them; batch norm sees the axis 'batch'."""

        def applied(params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None) -> tuple[Any, PyTree]:
            return self._apply(params, state, images, key, training=training)

        return _outside_of_meshes(applied, params, state, images, key)

    def _apply(
        self, params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None, *, training: bool
    ) -> tuple[Any, PyTree]:
        import equinox as eqx

        parts = _parts(self.make)
        structure, numbers = parts.state
        others, own = rebuilt(structure, numbers, state.get("state", {}))
        module = eqx.nn.inference_mode(eqx.combine(rebuilt(*parts.params, params), others, parts.static), not training)
        channels_first = images.transpose(0, 3, 1, 2)
        keys = None
        if "key" in parts.arguments:
            keys = jax.random.split(jax.random.key(0, impl="threefry2x32") if key is None else key, len(images))

        def of_image(image: Array, own: Any, key: Array | None) -> Any:
            named = {} if key is None else {"key": key}
            return module(image, own, **named) if "state" in parts.arguments else (module(image, **named), own)

        mapped = jax.vmap(of_image, axis_name=AXIS, in_axes=(0, None, None if keys is None else 0), out_axes=(0, None))
        outputs, moved = mapped(channels_first, own, keys)
        return outputs, {"state": _numbered((others, moved))} if state else {}

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuse a factory that makes no module, or one whose dropout would never drop anything."""
        _parts(self.make)


def _outside_of_meshes(function: Callable[..., Any], *given: PyTree) -> Any:
    """Call a function that is traced as if outside of `shard_map`.

    Inside, a traced value knows its mesh and a new constant does not; Equinox's `State.set` takes them for values of
    different types.
    """
    plain = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), given)
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), ())):
        program, shapes = jax.make_jaxpr(function, return_shape=True)(*plain)
    found = jax.core.eval_jaxpr(program.jaxpr, program.consts, *jax.tree.leaves(given))
    whole = jax.tree.unflatten(jax.tree.structure(shapes), found)
    return jax.tree.map(lambda value, shape: jnp.asarray(value, shape.dtype), whole, shapes)


def _taken_apart(made: Any) -> tuple[Any, Any, Any]:
    """Return what is no array, the floating arrays, and all others with the state."""
    import equinox as eqx

    module, state = made if isinstance(made, tuple) else (made, None)
    if not isinstance(module, eqx.Module):
        raise ValueError(
            f"make returns a {type(module).__name__}; allowed: an Equinox module, or one with its state, given a key"
        )
    params, rest = eqx.partition(module, eqx.is_inexact_array)
    others, static = eqx.partition(rest, eqx.is_array)
    return static, params, (others, state)


def _numbered(tree: PyTree) -> dict[str, Any]:
    """Return a tree's arrays by number: an Equinox state has no paths."""
    return {str(index): leaf for index, leaf in enumerate(jax.tree.leaves(tree))}


@cache
def _parts(make: Callable[[Key[Array, ""]], Any]) -> _Parts:
    statics: list[Any] = []

    def made(key: Key[Array, ""]) -> tuple[Any, Any]:
        static, params, state = _taken_apart(make(key))
        statics.append(static)
        return params, state

    params, state = jax.eval_shape(made, jax.random.key(0, impl="threefry2x32"))
    call = inspect.signature(type(statics[-1]).__call__).parameters
    if "key" not in call and _has_dropout(statics[-1]):
        raise ValueError("make returns a module with dropout whose __call__ takes no `key`; allowed: one that takes it")
    return _Parts(
        statics[-1],
        (jax.tree.structure(params), tuple(by_path(params))),
        (jax.tree.structure(state), tuple(_numbered(state))),
        frozenset(call) & {"state", "key"},
    )


def _has_dropout(module: Any) -> bool:
    """Return whether a layer of the module drops inputs in training, which Equinox refuses without a key."""
    import equinox as eqx

    def drops(node: Any) -> bool:
        return isinstance(node, eqx.nn.Dropout) and not node.inference and bool(node.p)

    return any(map(drops, jax.tree.leaves(module, is_leaf=lambda node: isinstance(node, eqx.nn.Dropout))))


def of_equinox(make: Callable[[Key[Array, ""]], Any], *, where: Where | None = None, output: str = "output") -> Adapted:
    """Return the network of an Equinox module: `make` returns it, or it and its `equinox.nn.State`, given a key.

    The module reads one image, channels first; its __call__ may take `state`, which it then returns beside its logits,
    and `key`. Batch norm's `axis_name` is 'batch'. Kernels are seen with outputs last, as in Flax, so that the same
    weights have the same masks. Raises ValueError, when it is used, for a `make` that returns no module, or one with
    dropout whose __call__ takes no key.
    """
    return network_of(EquinoxModel(make), where, output, outputs_first=True)
