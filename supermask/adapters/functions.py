"""Plain functions as networks: a pair of `init` and `apply`, as in Haiku or by hand."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from supermask.adapters.adapted import Adapted, network_of
from supermask.linen import modes
from supermask.model import Images
from supermask.trees import Where


@dataclass(frozen=True)
class FunctionModel:
    """A pair of functions as a `Model`."""

    draw: Callable[..., Any]
    call: Callable[..., Any]

    @property
    def draws(self) -> bool:
        """Whether `apply` takes a key."""
        return "key" in inspect.signature(self.call).parameters

    @property
    def _with_state(self) -> bool:
        return "state" in inspect.signature(self.call).parameters

    def init(self, key: Key[Array, ""], images: Images) -> tuple[PyTree, PyTree]:
        """Draw parameters, and the state if `apply` takes one. Numbers of Python's become arrays."""
        drawn = jax.tree.map(jnp.asarray, self.draw(key, images))
        return (drawn[0], {"state": drawn[1]}) if self._with_state else (drawn, {})

    def apply(
        self, params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None, *, training: bool
    ) -> tuple[Any, PyTree]:
        """Return the logits, and the state after them."""
        named: dict[str, Any] = dict(modes(self.call, training))
        if self.draws:
            named["key"] = key
        if not self._with_state:
            return self.call(params, images, **named), state
        outputs, moved = self.call(params, images, state=state["state"], **named)
        return outputs, {"state": moved}

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuse a state that nothing tells whether the network is trained."""
        if self._with_state and not modes(self.call, training=True):
            raise ValueError(
                "apply takes a state, and nothing tells it whether it is trained; allowed: also `training`"
            )


def of_functions(
    init: Callable[..., Any],
    apply: Callable[..., Any],
    *,
    where: Where | None = None,
    output: str = "output",
    outputs_first: bool = False,
) -> Adapted:
    """Return the network of a pair of functions.

    init: (key, images) -> a tree of parameters; with a state, -> (parameters, state).
    apply: (params, images) -> logits. It may take `training`, a `key`, which is None outside of training, and `state`;
        with a state, it returns (logits, state).
    outputs_first: see `Adapted`.

    Raises ValueError for what is no function.
    """
    for name, function in (("init", init), ("apply", apply)):
        if not callable(function):
            raise ValueError(f"{name} is {function!r}; allowed: a function")
    return network_of(FunctionModel(init, apply), where, output, outputs_first)
