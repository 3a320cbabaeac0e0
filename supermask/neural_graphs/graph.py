"""Neural graph networks: every node is one channel, every edge one weight, and any node may feed any other.

A node sums its inputs, normalises them over the image's positions, applies ReLU, and filters the result with its own
3×3 kernel. An edge carries a node's output to another node, times the edge's weight. A small stem of convolutions feeds
the first nodes; a linear layer reads the last nodes, the 'features'. Three settings differ in when nodes act:

- static: nodes have an order, split into consecutive blocks: the inputs, then blocks of even size. Each block acts
  once, after all of its inputs have arrived, and its edges lead to later blocks. The features are the end of the last
  block, whose edges lead to them.
- discrete: all nodes act at the same time, for a few steps, each step through the same edges.
- continuous: nodes change at the rate of a discrete step, dx/dt = f(x), from t = 0 to 1.

Live edges are chosen among all pairs of nodes, in the static setting too, where an edge that leads backwards carries
nothing and is wasted. Initial parameters are those of PyTorch's layers: uniform within ±1/√(a weight's inputs).
Wortsman, Farhadi & Rastegari 2019 (arXiv 1906.00586), sections 2.1, 2.2 and 4.1, and its released code; docs/methods.md
lists what differs.

The stem's batch norm keeps running statistics: leaves `mean` and `variance` of its layers, which training updates
without gradients (see `networks.in_training`).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from supermask.extras import missing
from supermask.networks import Network
from supermask.neural_graphs.nodes import (
    Maps,
    batch_normalise,
    by_node,
    carried,
    centre,
    filter_matrices,
    filtered,
    normalise,
    patches,
)
from supermask.params import Params

try:
    from flax import linen as nn
except ModuleNotFoundError as error:
    raise missing(error, "networks") from None

SETTINGS = ("static", "discrete", "continuous")
EDGES = "edges"
"""The layer whose kernel holds the weights of all edges, one row of targets per source, flat; see `endpoints`."""

Leaves = Mapping[str, tuple[Any, tuple[int, ...]]]


class Layer(nn.Module):
    """Parameters by name, each with its initialiser and shape."""

    leaves: Leaves

    @nn.compact
    def __call__(self) -> dict[str, Array]:
        """Return the parameters."""
        return {name: self.param(name, init, shape, jnp.float32) for name, (init, shape) in self.leaves.items()}


def within(inputs: int) -> Any:
    """Return PyTorch's initialiser of weights and biases of a unit with `inputs` inputs: uniform within ±1/√inputs."""
    bound = inputs**-0.5
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


class NeuralGraph(Network):
    """An image classifier that is a neural graph.

    setting: when nodes act.
    nodes: number of nodes, including the first `inputs` and the last `features`.
    edges: number of live edges.
    steps: number of steps in the discrete setting; number of blocks in the static one.
    side: nodes read maps of at most side × side positions, ensured by the stem's strides. A node's filter takes side⁴
        numbers.
    ode_steps: number of equal steps of the continuous setting's integrator, diffrax's second-order reversible Heun.
    pixel_mean, pixel_deviation: of each channel, by which images in [0, 1] are normalised; empty for none.
    """

    setting: str = "static"
    nodes: int = 800
    edges: int = 32_000
    inputs: int = 32
    features: int = 100
    steps: int = 5
    side: int = 8
    ode_steps: int = 8
    classes: int = 10
    pixel_mean: tuple[float, ...] = ()
    pixel_deviation: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.setting not in SETTINGS:
            raise ValueError(f"setting is {self.setting!r}; allowed: {', '.join(map(repr, SETTINGS))}")
        least = {"inputs": 2, "features": 1, "steps": 2, "side": 2, "ode_steps": 1, "classes": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed: {smallest} or more")
        blocks = self.steps - 1 if self.setting == "static" else 1
        if self.nodes < (fewest := self.inputs + blocks * self.features):
            room = f"{blocks} blocks that each have room for " if self.setting == "static" else ""
            raise ValueError(
                f"nodes is {self.nodes}; allowed: {fewest} or more, for {self.inputs} inputs and "
                f"{room}{self.features} features"
            )
        if not 1 <= self.edges <= self.possible_edges:
            raise ValueError(f"edges is {self.edges}; allowed: 1 to {self.possible_edges}, all that there could be")
        if len(self.pixel_mean) != len(self.pixel_deviation) or not all(each > 0 for each in self.pixel_deviation):
            raise ValueError(
                f"pixel_deviation is {self.pixel_deviation}; allowed: a number above 0 for each of "
                f"{len(self.pixel_mean)} channels of pixel_mean"
            )
        super().__post_init__()

    @property
    def convolutional(self) -> bool:
        """Whether it has any convolutions: its nodes are."""
        return True

    @property
    def statistics(self) -> Mapping[str, tuple[str, ...]]:
        """The stem's running statistics."""
        return dict.fromkeys(("stem1", "stem2"), ("mean", "variance"))

    @property
    def blocks(self) -> tuple[int, ...]:
        """Sizes of the static setting's blocks in order: inputs, then blocks of even size."""
        share, extra = divmod(self.nodes - self.inputs, self.steps - 1)
        return (self.inputs, *(share + (index < extra) for index in range(self.steps - 1)))

    def products(self, image_shape: tuple[int, int, int]) -> float:
        """Estimate the multiplications of one image's forward pass, without those of stem and read-out."""
        positions = min(self.side, *image_shape[:2]) ** 2
        filters = positions * self.nodes
        if self.setting == "static":
            return positions * (sum(size * after for size, after in self._tables()) + filters)
        acts = self.steps - 2 if self.setting == "discrete" else self.ode_steps + 1
        ends = self.nodes * (self.inputs + self.features) if self.setting == "discrete" else 0
        return positions * (acts * (self.nodes**2 + filters) + ends)

    @property
    def possible_edges(self) -> int:
        """Number of pairs of nodes."""
        return self.nodes**2

    def endpoints(self) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"]]:
        """Return the source and target of each possible edge, in the order of the flat kernel."""
        source, target = np.divmod(np.arange(self.possible_edges), self.nodes)
        return source, target

    def carrying(self) -> Bool[np.ndarray, "edges"]:
        """Return which of the possible edges carry anything: in the static setting those to nodes that act later."""
        table = np.zeros((self.nodes, self.nodes), bool)
        starts = np.cumsum((0, *self.blocks))
        for start, (size, after) in zip(starts, self._tables(), strict=False):
            table[start : start + size, self.nodes - after :] = True
        return table.ravel() if self.setting == "static" else np.ones(self.possible_edges, bool)

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], training: bool = False
    ) -> Float[Array, "batch classes"]:
        """Return logits of images scaled to [0, 1], in evaluation or in training.

        Raises ValueError if nodes would have less than 2×2 positions, or images have another number of channels than
        `pixel_mean`.
        """
        if self.pixel_mean:
            if len(self.pixel_mean) != x.shape[-1]:
                raise ValueError(f"pixel_mean has {len(self.pixel_mean)} channels; images have {x.shape[-1]}")
            mean, deviation = (
                np.array(each, np.float32)[None, None, None] for each in (self.pixel_mean, self.pixel_deviation)
            )
            x = (x - mean) / deviation
        maps, shape = self._stem(x, training)
        ones, zeros, acting = nn.initializers.ones, nn.initializers.zeros, (self.nodes,)
        edges = Layer({"kernel": (within(self.nodes), (self.possible_edges,))}, name=EDGES)()["kernel"]
        leaves = {"filter": (within(9), (3, 3, *acting)), "scale": (ones, acting), "offset": (zeros, acting)}
        nodes = Layer(leaves, name="nodes")()
        nodes |= {"filter": filter_matrices(nodes["filter"], shape)}
        act = {"static": self._static, "discrete": self._discrete, "continuous": self._continuous}[self.setting]
        features = centre(act(maps, edges.reshape(self.nodes, self.nodes), nodes), shape)
        size, init = (self.features, self.classes), within(self.features)
        output = Layer({"weight": (init, size), "bias": (init, size[1:])}, name="output")()
        return features @ output["weight"] + output["bias"][None]

    def trained_outputs(
        self, params: Params, images: Float[Array, "batch height width channels"], key: Key[Array, ""] | None
    ) -> tuple[Float[Array, "batch classes"], Params]:
        """Return the logits of a batch in training, and the stem's running statistics after it, which it sows."""
        outputs: Any
        outputs, variables = self.apply({"params": params}, images, training=True, mutable=["statistics"])
        moved = variables["statistics"]["moved"]
        return outputs, {layer: {n: moved[layer][n] for n in names} for layer, names in self.statistics.items()}

    def _stem(self, x: Float[Array, "batch height width channels"], training: bool) -> tuple[Maps, tuple[int, int]]:
        """Apply a strided 3×3 convolution, a strided depthwise one, and a pointwise one, with batch norm.

        Returns the input nodes' maps, and their height and width. Biases are left out: batch norm takes them away.
        """
        half, taps = self.inputs // 2, 9 * x.shape[-1]
        x = patches(by_node(x), stride=2)
        height, width = x.shape[1:3]
        stride = -(-max(height, width) // self.side)
        shape = -(-height // stride), -(-width // stride)
        if min(shape) < 2:
            raise ValueError(f"images leave nodes {shape[0]}×{shape[1]} positions; allowed: 2×2 or more")
        first = Layer({"filter": (within(taps), (taps, half)), **_batch_norm(half)}, name="stem1")()
        mixing = {"filter": (within(9), (3, 3, half)), "mix": (within(half), (half, self.inputs))}
        second = Layer({**mixing, **_batch_norm(self.inputs)}, name="stem2")()
        maps, early = batch_normalise(carried(x.reshape(taps, height * width, -1), first["filter"]), first, training)
        maps = filtered(nn.relu(maps), filter_matrices(second["filter"], (height, width), stride))
        maps, late = batch_normalise(carried(maps, second["mix"]), second, training)
        if training:
            moved = {"stem1": early, "stem2": late}
            self.sow("statistics", "moved", moved, init_fn=dict, reduce_fn=lambda _, new: new)
        return maps, shape

    def _static(self, x: Maps, table: Array, nodes: Mapping[str, Array]) -> Maps:
        starts = np.cumsum(self.blocks)[:-1]
        # Split instead of slices: its gradient is one concatenation, that of slices a sum of zero-padded arrays.
        own = {name: jnp.split(leaf, starts) for name, leaf in nodes.items()}
        rows = jnp.split(table, starts)
        arrived = jnp.zeros((self.nodes - self.inputs, *x.shape[1:]), x.dtype)
        for index, (size, after) in enumerate(self._tables()):
            if index:  # the features, which the last block's edges lead to, are in that block
                x, arrived = jnp.split(arrived, [size]) if size < len(arrived) else (arrived, arrived)
            sent = filtered(nn.relu(normalise(x, own["scale"][index], own["offset"][index])), own["filter"][index])
            arrived = arrived[-after:] + carried(sent, rows[index][:, -after:])
        return arrived

    def _discrete(self, x: Maps, table: Array, nodes: Mapping[str, Array]) -> Maps:
        # At first only inputs are nonzero, and at the end only features are read, so the rest is left out.
        for _ in range(self.steps - 1):
            x = _step(x, table, nodes)
        return _step(x, table, nodes, to=self.nodes - self.features)

    def _continuous(self, x: Maps, table: Array, nodes: Mapping[str, Array]) -> Maps:
        import diffrax  # imported here because the import takes a second

        args = (table, nodes)
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
        """Return the size of each block of the static setting, and the number of nodes that its edges lead to."""
        ends = np.cumsum(self.blocks)
        return [(size, max(self.nodes - int(end), self.features)) for size, end in zip(self.blocks, ends, strict=True)]


def _batch_norm(nodes: int) -> Leaves:
    ones, zeros = nn.initializers.ones, nn.initializers.zeros
    return {name: (ones if name in ("scale", "variance") else zeros, (nodes,)) for name in _BATCH_NORM}


_BATCH_NORM = ("scale", "offset", "mean", "variance")


def _step(x: Maps, table: Array, nodes: Mapping[str, Array], to: int = 0) -> Maps:
    """Let the first nodes, as many as there are maps, act once; return the inputs of nodes from number `to` on."""
    arrived = carried(filtered(nn.relu(x), nodes["filter"][: len(x)]), table[: len(x), to:])
    return normalise(arrived, nodes["scale"][to:], nodes["offset"][to:])
