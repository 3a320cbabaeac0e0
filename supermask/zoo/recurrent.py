"""Recurrent networks: an LSTM that reads an image row by row, and one that reads text, character by character."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from supermask.model import Network
from supermask.recurrence import lstm_states

LARGEST_BYTE = 255
"""Bytes are divided by it before a network reads them."""

_glorot = nn.initializers.glorot_normal()
_of_gates = nn.initializers.glorot_normal(batch_axis=0)


def _by_gate(key: Array, shape: tuple[int, int], dtype: jnp.dtype) -> Float[Array, "inputs gates"]:
    """Draw the kernels of four gates, each Glorot-normal (Glorot & Bengio 2010), side by side."""
    inputs, gates = shape
    return jnp.moveaxis(_of_gates(key, (4, inputs, gates // 4), dtype), 0, 1).reshape(shape)


def _remembering(key: Array, shape: tuple[int], dtype: jnp.dtype) -> Float[Array, " gates"]:
    """Return biases of 1 for forget gates, so that cells begin by keeping what they have, and 0 for all others.

    Gers et al. 2000; Jozefowicz et al. 2015 (proceedings.mlr.press/v37/jozefowicz15), section 5.
    """
    units = shape[0] // 4
    return jnp.zeros(shape, dtype).at[units : 2 * units].set(1.0)


class Kernel(nn.Module):
    """A kernel of four gates, which are drawn one by one."""

    units: int

    @nn.compact
    def __call__(self, inputs: int, like: Float[Array, "..."]) -> Float[Array, "inputs gates"]:
        """Return the kernel for so many inputs, of an array's type."""
        return jnp.asarray(self.param("kernel", _by_gate, (inputs, 4 * self.units), like.dtype))


class Layer(nn.Module):
    """An LSTM layer: 'input' and 'recurrent', each with a kernel of four gates, and one bias for both."""

    units: int

    @nn.compact
    def __call__(self, x: Float[Array, "steps batch inputs"]) -> Float[Array, "steps batch units"]:
        """Return the state after every step."""
        of_input = Kernel(self.units, name="input")(x.shape[-1], x)
        recurrent = Kernel(self.units, name="recurrent")(self.units, x)
        bias = self.param("bias", _remembering, (4 * self.units,), x.dtype)
        return lstm_states(x @ of_input + bias[None, None, :], recurrent)


class LSTM(Network):
    """LSTM layers that read an image row by row, from the top, and an output layer on the last state.

    hidden: each layer's units. Input and recurrent kernels are pruned at the rate of recurrent layers; biases stay
    dense. The forget gates' biases start at 1, and are stored so.
    """

    hidden: tuple[int, ...] = (128,)
    classes: int = 10

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions."""
        return False

    def layer_kinds(self, image_shape: tuple[int, int, int]) -> Mapping[str, str]:
        """Return the kinds of layers: an input kernel is one of a recurrent layer, though it is not in the loop."""
        layers = [f"lstm{index + 1}/{part}" for index in range(len(self.hidden)) for part in ("input", "recurrent")]
        return dict.fromkeys(layers, "recurrent") | {"output": "output"}

    def steps(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch steps inputs"]:
        """Return what is read in each step: a row of all channels."""
        return x.reshape(*x.shape[:2], -1)

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1]."""
        y = jnp.swapaxes(self.steps(x), 0, 1)
        for index, units in enumerate(self.hidden):
            y = Layer(units, name=f"lstm{index + 1}")(y)
        return nn.Dense(self.classes, kernel_init=_glorot, name="output")(y[-1])


class CharLSTM(LSTM):
    """An LSTM on a sequence of codes of symbols: bytes in an image of one column and one channel.

    It puts out logits of the next symbol. There are as many symbols as classes; a symbol is read as a vector of zeros
    with a 1 at its code, so the input kernel has a row for each symbol.
    """

    @property
    def reads_codes(self) -> bool:
        """Whether a pixel is the code of a symbol."""
        return True

    def steps(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch steps inputs"]:
        """Return the symbols as vectors. Raises ValueError for images of several columns or channels."""
        if x.shape[2:] != (1, 1):
            shape = "×".join(map(str, x.shape[1:]))
            raise ValueError(f"images are of {shape}; allowed: sequences of codes, of shape (steps, 1, 1)")
        return jax.nn.one_hot(jnp.round(x[:, :, 0, 0] * LARGEST_BYTE).astype(jnp.int32), self.classes, dtype=x.dtype)
