"""Inference on the compressed network, one image at a time: sparse, with weights as codes of shared values.

EIE (Han et al. 2016, arXiv 1602.01528) is a chip for this: it skips weights and inputs that are 0, and looks each
weight up in a small table. Here the same runs on one CPU core, and is compared with the dense network:

- dense: NumPy's matrix products over all weights.
- sparse: SciPy's compressed rows, live weights as float32.
- shared: compressed columns, with one byte per weight for its code and two for its row; skips columns of inputs that
  are 0. A loop compiled by numba.

All three compute the same logits up to rounding. Operations and bytes are counted per image; bytes are those of the
weights, indices and codebooks that are read, each once.
"""

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float32, Int32, UInt8, UInt16

from supermask.compression.quantisation import Quantised
from supermask.keys import layer_order
from supermask.short import short

Vector = Float32[np.ndarray, "features"]
Apply = Callable[[str, Float32[np.ndarray, " inputs"]], Vector]

ENGINES = ("dense", "sparse", "shared")


@short
class Columns(NamedTuple):
    """A layer's live weights by input: starts of the columns, and each weight's output and code."""

    starts: Int32[np.ndarray, " starts"]
    rows: UInt16[np.ndarray, " live"]
    codes: UInt8[np.ndarray, " live"]
    codebook: Vector
    outputs: int


@dataclass(frozen=True)
class Cost:
    """Cost of one image: median seconds, multiplications, and bytes of weights read."""

    seconds: float
    products: int
    bytes_read: int


def columns_of(quantised: Quantised, layer: str) -> Columns:
    """Return a dense layer by columns. Raises ValueError for more outputs than two bytes can number."""
    mask, codes = np.asarray(quantised.masks[layer]), np.asarray(quantised.codes[layer])
    inputs, outputs = mask.shape
    if outputs > 2**16:
        raise ValueError(f"layer {layer} has {outputs} outputs; allowed: up to {2**16}")
    starts = np.zeros(inputs + 1, np.int32)
    starts[1:] = np.cumsum(mask.sum(axis=1))
    _, rows = np.nonzero(mask)
    codebook = np.asarray(quantised.codebooks[layer], np.float32)
    return Columns(starts, rows.astype(np.uint16), codes[mask].astype(np.uint8), codebook, outputs)


class InferenceEngine:
    """A compressed network of dense layers, prepared for one engine. `logits` takes one image, scaled to [0, 1].

    Raises ValueError for an unknown engine or a network with convolutions.
    """

    def __init__(self, quantised: Quantised, engine: str) -> None:
        if engine not in ENGINES:
            raise ValueError(f"engine is {engine!r}; allowed: {', '.join(map(repr, ENGINES))}")
        if any(np.ndim(codes) != 2 for codes in quantised.codes.values()):
            raise ValueError("quantised has convolutions; allowed: networks of dense layers")
        self.engine = engine
        self._layers = [*layer_order(layer for layer in quantised.codes if layer != "output"), "output"]
        self._biases = {layer: np.asarray(bias, np.float32) for layer, bias in quantised.biases.items()}
        self._kernels = {layer: _kernel(quantised, layer) for layer in self._layers}
        self._apply = {"dense": self._dense, "sparse": self._sparse, "shared": self._shared}[engine](quantised)
        self._columns = {layer: columns_of(quantised, layer) for layer in self._layers}

    def logits(self, image: Float32[np.ndarray, "height width channels"]) -> Vector:
        """Return the network's logits for one image."""
        x = image.reshape(-1)
        for layer in self._layers:
            x = self._apply(layer, x) + self._biases[layer]
            if layer != "output":
                x = np.maximum(x, 0)
        return x

    def cost(self, image: Float32[np.ndarray, "height width channels"], repeats: int = 200) -> Cost:
        """Measure the cost of an image. The first few runs are not counted."""
        seconds = []
        for repeat in range(repeats + 5):
            started = time.perf_counter()
            self.logits(image)
            if repeat >= 5:
                seconds.append(time.perf_counter() - started)
        products = bytes_read = 0
        x = image.reshape(-1)
        for layer in self._layers:
            more, read = self._counted(layer, x)
            products, bytes_read = products + more, bytes_read + read
            x = np.maximum(self._apply(layer, x) + self._biases[layer], 0)
        return Cost(float(np.median(seconds)), products, bytes_read)

    def _counted(self, layer: str, x: Vector) -> tuple[int, int]:
        columns, kernel = self._columns[layer], self._kernels[layer]
        if self.engine == "dense":
            return kernel.size, kernel.nbytes
        live = columns.codes.size
        if self.engine == "sparse":
            return live, 8 * live + 4 * (columns.outputs + 1)
        touched = int(np.diff(columns.starts)[x != 0].sum())
        return touched, 3 * touched + 4 * columns.starts.size + columns.codebook.nbytes

    def _dense(self, quantised: Quantised) -> Apply:
        return lambda layer, x: x @ self._kernels[layer]

    def _sparse(self, quantised: Quantised) -> Apply:
        rows: Mapping[str, Any] = {n: scipy.sparse.csr_array(kernel.T) for n, kernel in self._kernels.items()}
        return lambda layer, x: rows[layer] @ x

    def _shared(self, quantised: Quantised) -> Apply:
        multiply = _compiled()
        columns = {layer: columns_of(quantised, layer) for layer in self._layers}
        return lambda layer, x: multiply(x, *columns[layer])


def _kernel(quantised: Quantised, layer: str) -> Float32[np.ndarray, "inputs outputs"]:
    values = np.asarray(quantised.codebooks[layer], np.float32)[np.asarray(quantised.codes[layer])]
    return np.where(np.asarray(quantised.masks[layer]), values, np.float32(0))


def _compiled() -> Callable[..., Vector]:
    import numba  # imported here because the import takes half a second

    compiled: Callable[..., Vector] = numba.njit(inspect.unwrap(_multiply_columns))
    return compiled


def _multiply_columns(x: Any, starts: Any, rows: Any, codes: Any, codebook: Any, outputs: int) -> Any:
    """Multiply the matrix, given by columns, by x; skip zeros of x."""
    y = np.zeros(outputs, np.float32)
    for column in range(x.size):
        value = x[column]
        if value != 0:
            for at in range(starts[column], starts[column + 1]):
                y[rows[at]] += value * codebook[codes[at]]
    return y
