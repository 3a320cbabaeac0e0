"""The recurrence of an LSTM layer, with the products that need no order of time taken out of the loop.

Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. The inputs' product with their kernel comes
before the loop over time, so a step has one product left, of the state with the recurrent kernel. Going back, a step
has the product with that kernel's transpose; the kernel's gradient is one product over all steps, after the loop.
Written out by JAX itself, it would be a product and a sum of the kernel's size in every step.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


class _Kept(NamedTuple):
    """What the way back needs: each step's gates after their nonlinearities, the cells, and the states before it."""

    gates: Float[Array, "steps batch gates"]
    cells: Float[Array, "steps batch units"]
    before: Float[Array, "steps batch units"]
    kernel: Float[Array, "units gates"]


def lstm_states(
    inputs: Float[Array, "steps batch gates"], kernel: Float[Array, "units gates"]
) -> Float[Array, "steps batch units"]:
    """Return the state of an LSTM layer after every step, from a state and a cell of 0.

    inputs: of every step, the product with the input kernel and the bias. kernel: of the recurrence. Both have four
    gates of as many units each: input, forget, candidate, output, in PyTorch's order.

    A step is z = input + h·kernel; c' = σ(f)·c + σ(i)·tanh(g); h' = σ(o)·tanh(c').

    Raises ValueError for shapes that do not fit each other.
    """
    units = kernel.shape[0]
    if kernel.shape[1] != 4 * units or inputs.shape[2] != 4 * units:
        raise ValueError(f"kernel has shape {kernel.shape} for inputs of {inputs.shape[2]}; allowed: 4 gates a unit")
    zero = jnp.zeros_like(inputs, shape=()) + jnp.zeros_like(kernel, shape=())  # as in `supermask.convolution`
    return _states(inputs + zero, kernel + zero)


@jax.custom_vjp
def _states(inputs: Array, kernel: Array) -> Array:
    return _forward(inputs, kernel)[0]


def _activated(gates: Array) -> Array:
    """Return the gates after their nonlinearities: one tanh for all, because σ(x) = ½ + ½·tanh(½x). Twice as fast."""
    scale = jnp.repeat(jnp.array([0.5, 0.5, 1.0, 0.5], gates.dtype), gates.shape[-1] // 4)[None, :]
    return jnp.tanh(gates * scale) * scale + (1 - scale)


def _forward(inputs: Array, kernel: Array) -> tuple[Array, _Kept]:
    def step(carry: tuple[Array, Array], of_input: Array) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        state, cell = carry
        gates = _activated(of_input + state @ kernel)
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = f * cell + i * g
        after = o * jnp.tanh(cell)
        return (after, cell), (gates, cell, after)

    nothing = jnp.zeros_like(inputs, shape=(inputs.shape[1], kernel.shape[0]))
    _, (gates, cells, states) = lax.scan(step, (nothing, nothing), inputs)
    return states, _Kept(gates, cells, _shifted(states), kernel)


def _shifted(steps: Array) -> Array:
    """Return what was there before each step: nothing before the first."""
    return jnp.concatenate([jnp.zeros_like(steps[:1]), steps[:-1]])


def _backward(kept: _Kept, d_states: Array) -> tuple[Array, Array]:
    def step(carry: tuple[Array, Array], here: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        d_state, d_cell = carry
        gates, cell, cell_before, d_here = here
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        size = jnp.tanh(cell)
        d_state = d_state + d_here
        d_cell = d_cell + d_state * o * (1 - size * size)
        d_gates = jnp.concatenate(
            [
                d_cell * g * i * (1 - i),
                d_cell * cell_before * f * (1 - f),
                d_cell * i * (1 - g * g),
                d_state * size * o * (1 - o),
            ],
            axis=-1,
        )
        return (d_gates @ kept.kernel.T, d_cell * f), d_gates

    nothing = jnp.zeros_like(kept.cells[0])
    steps = (kept.gates, kept.cells, _shifted(kept.cells), d_states)
    _, d_inputs = lax.scan(step, (nothing, nothing), steps, reverse=True)
    units, gates = kept.kernel.shape
    return d_inputs, kept.before.reshape(-1, units).T @ d_inputs.reshape(-1, gates)


_states.defvjp(_forward, _backward)
