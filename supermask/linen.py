"""Flax Linen modules as models: what tells a module that it is trained, its state, and what it draws."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from supermask.checks import check_call
from supermask.extras import missing

try:
    from flax import linen as nn
except ModuleNotFoundError as error:
    raise missing(error, "networks") from None

Images = Float[Array, "batch height width channels"]

TRAINING, EVALUATION = ("train", "training", "is_training"), ("deterministic", "use_running_average", "evaluation")
"""Names of arguments that tell a module that it is trained, or that it is not."""


def modes(call: Callable[..., Any], training: bool) -> dict[str, bool]:
    """Return those arguments of a call that tell whether it is one in training, with their values."""
    known = {**dict.fromkeys(TRAINING, training), **dict.fromkeys(EVALUATION, not training)}
    return {name: known[name] for name in inspect.signature(call).parameters if name in known}


@dataclass(frozen=True)
class LinenModel:
    """A Flax Linen module as a `Model`."""

    module: nn.Module

    @property
    def draws(self) -> bool:
        """Whether it may draw: whether its call is told that it is one in training."""
        return bool(modes(self.module.__call__, training=True))

    def _told(self, training: bool) -> Any:
        return modes(self.module.__call__, training)

    def init(self, key: Key[Array, ""], images: Images) -> tuple[PyTree, PyTree]:
        """Draw all variables."""
        variables = dict(self.module.init(key, images, **self._told(False)))
        return variables.pop("params", {}), variables

    def apply(
        self, params: PyTree, state: PyTree, images: Images, key: Key[Array, ""] | None, *, training: bool
    ) -> tuple[Any, PyTree]:
        """Return outputs and the other collections; these change in training alone."""
        variables, told = {"params": params, **state}, self._told(training)
        if not training:
            return self.module.apply(variables, images, **told), state
        rngs = None if key is None else {"dropout": key}
        outputs, moved = self.module.apply(variables, images, **told, rngs=rngs, mutable=list(state))
        return outputs, dict(moved)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Refuse what is called with more than images, and state or dropout that nothing tells of training."""
        name, call = type(self.module).__name__, self.module.__call__
        check_call(name, call, told=(*TRAINING, *EVALUATION))
        random: list[str] = []

        def noting_dropout(
            next_: Callable[..., Any], args: Any, named: Any, context: nn.module.InterceptorContext
        ) -> Any:
            if isinstance(context.module, nn.Dropout) and context.module.rate > 0:
                random.append(context.module.name or "Dropout")
            return next_(*args, **named)

        with nn.intercept_methods(noting_dropout):
            image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
            variables = jax.eval_shape(lambda x: self.init(jax.random.key(0, impl="threefry2x32"), x), image)
        if not variables[0]:
            raise ValueError(f"network {name} has no parameters; allowed: one or more")
        what = [f"variables {kind!r} (in {', '.join(own)})" for kind, own in variables[1].items()]
        what += [f"dropout (in {', '.join(dict.fromkeys(random))})"] if random else []
        if what and not modes(call, training=True):
            raise ValueError(
                f"network {name} has {' and '.join(what)}, and nothing tells it whether it is trained; allowed: "
                "an argument `training` of its __call__ that it passes on"
            )
