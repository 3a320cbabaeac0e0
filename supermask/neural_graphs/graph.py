"""Neural graph networks: every node is one channel, every edge one weight, and any node may feed any other.

A node sums its inputs, normalises them over the image's positions, applies ReLU, and filters the result with its own
3×3 kernel. An edge carries a node's output to another node, times the edge's weight. A small stem of convolutions feeds
the first nodes; a linear layer reads the last nodes, the 'features'. Three settings differ in when nodes act:

- static: nodes have an acyclic order, split into consecutive blocks. Edges lead from a block to later ones, and each
  block acts once, after all of its inputs have arrived.
- discrete: all nodes act at the same time, for a few steps, each step through the same edges.
- continuous: nodes change at the rate of a discrete step, dx/dt = f(x), from t = 0 to 1.

Wortsman, Farhadi & Rastegari 2019 (arXiv 1906.00586), sections 2.1, 2.2 and 4.1. Differences: the stem normalises per
image instead of by batch norm, so that an image's logits depend only on the image; and in the static setting, features
form a separate block.

Maps are stored node by node, with each node's images below one another. Edges are then one matrix product, and filters
one product per node, and so are their gradients. A 3×3 filter is a matrix of positions × positions, mostly zeros. On
maps this small it costs almost nothing compared with the edges, whereas a sum of nine shifted maps takes XLA's CPU
backend four times as long, and a grouped convolution's gradients inside a loop about a hundred times.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from supermask.extras import missing
from supermask.networks import Network

try:
    from flax import linen as nn
except ModuleNotFoundError as error:
    raise missing(error, "networks") from None

SETTINGS = ("static", "discrete", "continuous")
EDGES = "edges"
"""The layer whose kernel holds the weights of all possible edges; `NeuralGraph.endpoints` gives their nodes."""

EPSILON = 0.1
"""Constant added to a node's variance. It must not be smaller: an unreached node has no variance, and the gradients of
candidate edges to it grow with 1/√ε."""

Leaves = Mapping[str, tuple[Any, tuple[int, ...]]]
Maps = Float[Array, "_ batch positions"]


class Layer(nn.Module):
    """Parameters by name, each with its initialiser and shape."""

    leaves: Leaves

    @nn.compact
    def __call__(self) -> dict[str, Array]:
        """The parameters."""
        return {name: self.param(name, init, shape, jnp.float32) for name, (init, shape) in self.leaves.items()}


class NeuralGraph(Network):
    """An image classifier that is a neural graph. The weights of all edges form one flat kernel, the layer `EDGES`.

    setting: when nodes act.
    nodes: number of nodes, including the first `inputs` and the last `features`.
    edges: number of live edges. Their weights start with variance nodes / edges, so that a node's summed input varies
        about as much as one node's output.
    steps: number of steps in the discrete setting; number of acting blocks, without features, in the static one.
    side: nodes read maps of at most side × side positions, ensured by the stem's strides. A node's filter takes side⁴
        numbers.
    ode_steps: number of equal steps of the continuous setting's integrator, diffrax's second-order reversible Heun.

    Raises ValueError where a value is not allowed.
    """

    setting: str = "static"
    nodes: int = 800
    edges: int = 30_000
    inputs: int = 32
    features: int = 100
    steps: int = 5
    side: int = 8
    ode_steps: int = 8
    classes: int = 10

    def __post_init__(self) -> None:
        if self.setting not in SETTINGS:
            raise ValueError(f"setting is {self.setting!r}; allowed: {', '.join(map(repr, SETTINGS))}")
        least = {"inputs": 2, "features": 1, "steps": 2, "side": 2, "ode_steps": 1, "classes": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: {smallest} or more")
        if self.nodes < self.inputs + self.features + self.steps - 1:
            raise ValueError(
                f"nodes is {self.nodes}; allowed: {self.inputs + self.features + self.steps - 1} or more, for "
                f"{self.inputs} inputs, {self.features} features and {self.steps - 1} blocks between them"
            )
        if not 1 <= self.edges <= self.possible_edges:
            raise ValueError(f"edges is {self.edges}; allowed: 1 to {self.possible_edges}, all that there could be")
        super().__post_init__()

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions: its nodes are."""
        return True

    @property
    def blocks(self) -> tuple[int, ...]:
        """Sizes of the static setting's blocks in order: inputs, blocks of even size, features."""
        between = self.nodes - self.inputs - self.features
        share, extra = divmod(between, self.steps - 1)
        return (self.inputs, *(share + (index < extra) for index in range(self.steps - 1)), self.features)

    def products(self, image_shape: tuple[int, int, int]) -> float:
        """Multiplications of one image's forward pass through nodes and edges, stem and read-out apart: an estimate."""
        positions = min(self.side, *image_shape[:2]) ** 2
        filters = positions * self.nodes
        if self.setting == "static":
            return positions * (self.possible_edges + filters)
        acts = self.steps - 2 if self.setting == "discrete" else self.ode_steps + 1
        ends = self.nodes * (self.inputs + self.features) if self.setting == "discrete" else 0
        return positions * (acts * (self.nodes**2 + filters) + ends)

    @property
    def possible_edges(self) -> int:
        """Number of possible edges."""
        return sum(size * after for size, after in self._tables()) if self.setting == "static" else self.nodes**2

    def endpoints(self) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"]]:
        """Return the source and target of each possible edge, in the order of the flat kernel."""
        if self.setting != "static":
            first, second = np.divmod(np.arange(self.nodes**2), self.nodes)
            return first, second
        starts = np.cumsum([0, *self.blocks])
        pairs = [
            (np.repeat(np.arange(start, start + size), after), np.tile(np.arange(self.nodes - after, self.nodes), size))
            for start, (size, after) in zip(starts, self._tables(), strict=False)
        ]
        return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1]. Raises ValueError if nodes would have less than 2×2 positions."""
        maps, shape = self._stem(x)
        ones, zeros, normal = nn.initializers.ones, nn.initializers.zeros, nn.initializers.normal
        acting = self.nodes - self.features if self.setting == "static" else self.nodes
        weights = Layer({"kernel": (normal((self.nodes / self.edges) ** 0.5), (self.possible_edges,))}, name=EDGES)()[
            "kernel"
        ]
        nodes = Layer(
            {"filter": (normal(1 / 3), (3, 3, acting)), "scale": (ones, (acting,)), "offset": (zeros, (acting,))},
            name="nodes",
        )()
        nodes |= {"filter": filter_matrices(nodes["filter"], shape)}
        act = {"static": self._static, "discrete": self._discrete, "continuous": self._continuous}[self.setting]
        features = _centre(act(maps, weights, nodes), shape)
        size = (self.features, self.classes)
        output = Layer({"weight": (nn.initializers.glorot_normal(), size), "bias": (zeros, size[1:])}, name="output")()
        return features @ output["weight"] + output["bias"][None]

    def _stem(self, x: Float[Array, "batch height width channels"]) -> tuple[Maps, tuple[int, int]]:
        """Apply a strided 3×3 convolution, a strided depthwise one, and a pointwise one.

        Returns the input nodes' maps, and their height and width.
        """
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        half, channels = self.inputs // 2, x.shape[-1]
        first = Layer(
            {
                "filter": (nn.initializers.he_normal(), (9 * channels, half)),
                "scale": (ones, (half,)),
                "offset": (zeros, (half,)),
            },
            name="stem1",
        )()
        x = _patches(x, stride=2) @ first["filter"]
        maps = nn.relu(normalise(by_node(x), first["scale"], first["offset"]))
        second = Layer(
            {
                "filter": (nn.initializers.normal(1 / 3), (3, 3, half)),
                "mix": (nn.initializers.glorot_normal(), (half, self.inputs)),
                "scale": (ones, (self.inputs,)),
                "offset": (zeros, (self.inputs,)),
            },
            name="stem2",
        )()
        height, width = x.shape[1:3]
        stride = -(-max(height, width) // self.side)
        shape = -(-height // stride), -(-width // stride)
        if min(shape) < 2:
            raise ValueError(f"images leave nodes {shape[0]}×{shape[1]} positions; allowed: 2×2 or more")
        maps = filtered(maps, filter_matrices(second["filter"], (height, width), stride))
        return normalise(carried(maps, second["mix"]), second["scale"], second["offset"]), shape

    def _static(self, x: Maps, weights: Array, nodes: Mapping[str, Array]) -> Maps:
        tables, ends = self._tables(), np.cumsum(self.blocks)[:-2]
        # Split instead of slices: its gradient is one concatenation, that of slices a sum of zero-padded arrays.
        weights_of = jnp.split(weights, np.cumsum([size * after for size, after in tables])[:-1])
        own = {name: jnp.split(leaf, ends) for name, leaf in nodes.items()}
        arrived = jnp.zeros((self.nodes - self.inputs, *x.shape[1:]), x.dtype)
        for index, (size, after) in enumerate(tables):
            if index:
                x, arrived = jnp.split(arrived, [size])
            x = nn.relu(normalise(x, own["scale"][index], own["offset"][index]))
            arrived = arrived + carried(filtered(x, own["filter"][index]), weights_of[index].reshape(size, after))
        return arrived

    def _discrete(self, x: Maps, weights: Array, nodes: Mapping[str, Array]) -> Maps:
        table = weights.reshape(self.nodes, self.nodes)
        # At first only inputs are nonzero, and at the end only features are read, so the rest is left out.
        for _ in range(self.steps - 1):
            x = _step(x, table, nodes)
        return _step(x, table, nodes, to=self.nodes - self.features)

    def _continuous(self, x: Maps, weights: Array, nodes: Mapping[str, Array]) -> Maps:
        import diffrax  # imported here because the import takes a second

        args = (weights.reshape(self.nodes, self.nodes), nodes)
        term, solver = diffrax.ODETerm(lambda t, y, args: _step(y, *args)), diffrax.ReversibleHeun()
        start = jnp.concatenate([x, jnp.zeros((self.nodes - self.inputs, *x.shape[1:]), x.dtype)])

        def one_step(moving: tuple[Array, Any], index: Array) -> tuple[tuple[Array, Any], None]:
            y, memory = moving
            t0, t1 = index / self.ode_steps, (index + 1) / self.ode_steps
            y, _, _, memory, _ = solver.step(term, t0, t1, y, args, memory, made_jump=False)
            return (y, memory), None

        memory = solver.init(term, jnp.float32(0), jnp.float32(1 / self.ode_steps), start, args)
        (end, _), _ = lax.scan(one_step, (start, memory), jnp.arange(self.ode_steps, dtype=jnp.float32))
        return end[self.nodes - self.features :]

    def _tables(self) -> list[tuple[int, int]]:
        """Return the size of each acting block of the static setting, and the number of nodes after it."""
        ends = np.cumsum(self.blocks)
        return [(size, self.nodes - int(end)) for size, end in zip(self.blocks[:-1], ends, strict=False)]


def _step(x: Maps, table: Array, nodes: Mapping[str, Array], to: int = 0) -> Maps:
    """Let the first nodes, as many as there are maps, act once; return the inputs of nodes from number `to` on."""
    arrived = carried(filtered(nn.relu(x), nodes["filter"][: len(x)]), table[: len(x), to:])
    return normalise(arrived, nodes["scale"][to:], nodes["offset"][to:])


def by_node(x: Float[Array, "batch height width nodes"]) -> Float[Array, "nodes batch positions"]:
    """Rearrange maps by node, with positions in one row."""
    return jnp.transpose(x.reshape(x.shape[0], -1, x.shape[-1]), (2, 0, 1))


def normalise(
    x: Float[Array, "nodes batch positions"], scale: Float[Array, "nodes"], offset: Float[Array, "nodes"]
) -> Float[Array, "nodes batch positions"]:
    """Normalise each node of each image to mean 0 and variance 1 over positions; then apply its scale and offset."""
    centred = x - x.mean(2, keepdims=True)
    variance = jnp.square(centred).mean(2, keepdims=True)
    return centred * lax.rsqrt(variance + EPSILON) * scale[:, None, None] + offset[:, None, None]


def filtered(
    x: Float[Array, "nodes batch positions"], matrices: Float[Array, "nodes positions _"]
) -> Float[Array, "nodes batch _"]:
    """Apply each node's own filter, as returned by `filter_matrices`."""
    return jnp.einsum("nbp,npq->nbq", x, matrices)


def carried(
    x: Float[Array, "nodes batch positions"], table: Float[Array, "nodes targets"]
) -> Float[Array, "targets batch positions"]:
    """Return each target's input: the sum of the nodes' maps, each times its edge's weight."""
    return jnp.einsum("nm,nbp->mbp", table, x)


def filter_matrices(
    filters: Float[Array, "3 3 nodes"], shape: tuple[int, int], stride: int = 1
) -> Float[Array, "nodes positions _"]:
    """Express strided 3×3 'same' convolutions as matrices over flattened positions of maps of that shape."""
    height, width = shape
    # The input position of each filter tap for each output position.
    taps = np.zeros((3, 3, height + 2, width + 2, -(-height // stride), -(-width // stride)), np.float32)
    i, j, row, column = np.indices((3, 3, *taps.shape[4:]))
    taps[i, j, row * stride + i, column * stride + j, row, column] = 1
    seen = taps[:, :, 1:-1, 1:-1].reshape(9, height * width, -1)
    return jnp.einsum("tpq,tn->npq", seen, filters.reshape(9, -1))


def _patches(x: Array, stride: int) -> Array:
    """Return the 3×3 neighbourhoods at a stride, zero-padded, as rows."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    nine = [padded[:, i : i + height : stride, j : j + width : stride] for i in range(3) for j in range(3)]
    return jnp.concatenate(nine, axis=-1)


def _centre(x: Maps, shape: tuple[int, int]) -> Float[Array, "batch nodes"]:
    """Return the mean of the central 2×2 positions of maps of that shape."""
    top, left = (shape[0] - 2) // 2, (shape[1] - 2) // 2
    return x.reshape(*x.shape[:2], *shape)[:, :, top : top + 2, left : left + 2].mean((2, 3)).T
