"""Lower bound of FC's training step on this machine: its matrix products and its Adam update, measured separately."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array

from supermask.networks import NETWORKS, initialise, kernels_of
from supermask.population import Placement, over_population

BATCH = 60


def products_and_update(placement: Placement, steps: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return two programs of `steps` steps of a full population: a step's eight products, and Adam's update.

    The products are those of three layers forward, the gradients of their kernels, and of their inputs but the first's.
    """
    params = initialise(NETWORKS["fc"], jax.random.key(0), (28, 28, 1))
    kernels = kernels_of(params)
    batches = np.random.default_rng(0).random((50, BATCH, 784), np.float32)
    optimiser = optax.adam(1e-3)

    def products(carried: Any, own: Any, shared: Any) -> Any:
        def step(index: Array, gradients: Any) -> Any:
            x = lax.dynamic_index_in_dim(shared, index % 50, keepdims=False)
            first = x @ own["hidden1"]
            second = first @ own["hidden2"]
            error3 = second @ own["output"]
            error2 = error3 @ own["output"].T
            error1 = error2 @ own["hidden2"].T
            del gradients
            return {"hidden1": x.T @ error1, "hidden2": first.T @ error2, "output": second.T @ error3}

        return lax.fori_loop(0, steps, step, carried)

    def update(carried: Any, own: Any, shared: Any) -> Any:
        def step(index: Array, moving: Any) -> Any:
            moved, state = moving
            updates, state = optimiser.update(own, state, moved)
            return jax.tree.map(jnp.add, moved, updates), state

        return lax.fori_loop(0, steps, step, carried)

    def program(body: Any, carried: Any, own: Any, shared: Any) -> Callable[[], None]:
        compiled = over_population(body, placement)
        given, counts = placement.stack([own] * placement.slots), placement.counts(placement.slots)
        on_devices = placement.shared(shared)

        def run() -> None:
            jax.block_until_ready(compiled(placement.stack([carried] * placement.slots), given, on_devices, counts))

        return run

    return (
        program(products, jax.tree.map(np.zeros_like, kernels), kernels, batches),
        program(update, (params, optimiser.init(params)), params, np.zeros(1, np.float32)),
    )
