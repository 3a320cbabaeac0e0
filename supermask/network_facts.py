"""Facts about the whole network for criteria that ask for them, and their scores by leaf.

A criterion that asks for `network` is given `NetworkFacts` and returns scores in the structure of the parameters. It
may take the loss's gradient, or the Hessian along it, at any parameters.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from supermask.members import MemberError, as_float32
from supermask.short import short
from supermask.trees import Leaves, MaskTree, only_kept

Loss = Callable[[PyTree], Float[Array, ""]]
"""(parameters) -> the loss, differentiable twice."""

Outputs = Callable[[PyTree], Float[Array, "..."]]
"""(parameters) -> the network's outputs on inputs that are all 1."""


@short
@dataclass(frozen=True)
class NetworkFacts:
    """Inputs of a criterion for the whole network.

    initial, final: all parameters before any training and at the end of the round's, biases included.
    masks: True where a weight has not been pruned yet; None in the place of leaves that are never pruned.
    key: for draws of the criterion's own; ties are broken by another.
    loss: (parameters) -> the training loss, `Loss`. outputs: see `Outputs`. given_softened: (temperature) -> the loss
        of logits that are divided by it. None where nobody gave them.
    """

    initial: PyTree
    final: PyTree
    masks: MaskTree
    key: Key[Array, ""]
    given_loss: Loss | None = None
    given_outputs: Outputs | None = None
    given_softened: Callable[[float], Loss] | None = None

    @property
    def loss(self) -> Loss:
        """The training loss as a function of the parameters. Raises ValueError where there is none."""
        return _given("loss", self.given_loss)

    @property
    def outputs(self) -> Outputs:
        """The outputs on inputs that are all 1, as a function of the parameters. Raises ValueError if there is none."""
        return _given("outputs", self.given_outputs)

    def softened_loss(self, temperature: float) -> Loss:
        """Return the training loss of logits divided by a temperature. Raises ValueError where nobody gave it."""
        if self.given_softened is None:
            raise ValueError(
                f"a criterion asks for the loss at temperature {temperature:g}, and only the toolkit's trainer knows "
                "logits; allowed: a criterion without temperature, and loss=lambda params: ... of softened logits"
            )
        return self.given_softened(temperature)

    def gradient(self, params: PyTree) -> PyTree:
        """Return the gradient of the training loss at any parameters. Raises ValueError where no loss was given."""
        return jax.grad(self.loss)(params)

    def masked(self, params: PyTree) -> PyTree:
        """Return the parameters with pruned weights at 0."""
        return only_kept(params, self.masks, 0.0)


def scores_by_path(leaves: Leaves, scores: PyTree) -> dict[str, Float[Array, "..."]]:
    """Return the scores of prunable leaves as float32, by path.

    Raises ValueError for scores of other leaves or shapes than the parameters', and for what are no real numbers.
    """
    found = {path: jnp.asarray(score) for path, score in leaves.fitting("score of {} has", scores).items()}
    for path, score in found.items():
        if not any(jnp.issubdtype(score.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            raise ValueError(f"score of {path} is {score.dtype}; allowed: real numbers")
    try:
        return {path: as_float32(score) for path, score in found.items()}
    except ValueError as error:
        raise ValueError(f"scores are {error}") from None


def check_scores(
    criterion: str, scores: Mapping[str, Any], alive: Mapping[str, Any], weights: Iterable[Mapping[str, Any]]
) -> None:
    """Raise MemberError for scores that are NaN for a live weight of a layer whose weights are numbers.

    NaN would rank like -∞, and leave the choice to the key. Nothing is known of what is traced.
    """
    for path, values in scores.items():
        if isinstance(values, jax.core.Tracer) or isinstance(alive[path], jax.core.Tracer):
            continue
        live = np.asarray(alive[path])
        missing = int(np.isnan(np.asarray(values)[live]).sum())
        if missing and all(np.isfinite(np.asarray(each[path], np.float32)).all() for each in weights):
            some = f"{missing} of {live.sum()} weights of {path}"
            raise MemberError(f"criterion {criterion} scores NaN for {some}; allowed: numbers, ∞ included")


def _given(name: str, function: Any) -> Any:
    if function is None:
        raise ValueError(f"a criterion asks for {name}, which is None; allowed: a function, {name}=lambda params: ...")
    return function
