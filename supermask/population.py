"""Runs one function over a population of networks on all devices; no other module knows how.

On CPU a device runs its networks one after another (`lax` loop), because XLA's CPU backend is 20 to 40% slower on a
batch of networks than on one. On an accelerator a device runs all of its networks at once (`vmap`), which keeps it
busy.

A population has a fixed number of slots, and the number of filled slots is data, not shape. One compiled program
therefore serves every population of a study, and a network's numbers cannot depend on its neighbours.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int32, PyTree

from supermask.cores import cores

Item = TypeVar("Item")
Body = Callable[[PyTree, PyTree, PyTree], PyTree]
Run = Callable[[PyTree, PyTree, PyTree, Int32[Array, " devices"]], PyTree]

_NETWORKS = PartitionSpec("networks")
_EVERYWHERE = PartitionSpec()


@dataclass(frozen=True)
class Placement:
    """The devices of a population and the number of slots on each.

    Raises ValueError if there is no device or no slot.
    """

    devices: tuple[jax.Device, ...]
    slots_per_device: int

    def __post_init__(self) -> None:
        if not self.devices:
            raise ValueError("devices is empty; at least one is needed")
        if self.slots_per_device < 1:
            raise ValueError(f"slots_per_device is {self.slots_per_device}; allowed: 1 or more")

    @property
    def slots(self) -> int:
        """Total number of slots."""
        return len(self.devices) * self.slots_per_device

    @property
    def one_at_a_time(self) -> bool:
        """Whether a device takes its networks in turn: then size is time, and an empty slot takes none."""
        return self.devices[0].platform == "cpu"

    @property
    def mesh(self) -> Mesh:
        """Return the devices as a mesh of one axis."""
        return Mesh(np.array(self.devices), ("networks",))

    def shared(self, tree: PyTree) -> PyTree:
        """Copy arrays that all networks read, such as the data, to each device."""
        return jax.device_put(tree, NamedSharding(self.mesh, _EVERYWHERE))

    def counts(self, networks: int) -> Int32[Array, " devices"]:
        """Return the number of networks on each device, distributed evenly."""
        share, extra = divmod(networks, len(self.devices))
        per_device = [share + (index < extra) for index in range(len(self.devices))]
        return jax.device_put(np.array(per_device, np.int32), NamedSharding(self.mesh, _NETWORKS))

    def stack(self, networks: Sequence[PyTree]) -> PyTree:
        """Stack host pytrees of single networks into one population on the devices; empty slots repeat the first.

        Raises ValueError if there are none, or more than slots.
        """
        sharding = NamedSharding(self.mesh, _NETWORKS)
        return jax.tree.map(lambda leaf: jax.device_put(leaf, sharding), self.dealt(networks))

    def dealt(self, networks: Sequence[PyTree]) -> PyTree:
        """Return the same, left on the host."""
        if not 1 <= len(networks) <= self.slots:
            raise ValueError(f"networks has {len(networks)} members; allowed: 1 to {self.slots}")
        dealt: list[PyTree] = [networks[0]] * self.slots
        for index, network in enumerate(networks):
            dealt[self._slot(index)] = network
        return jax.tree.map(lambda *leaves: np.stack(leaves), *dealt)

    def unstack(self, population: PyTree, networks: int) -> list[PyTree]:
        """Return the first `networks` members of a population as host pytrees, in their original order."""
        on_host = jax.tree.map(np.asarray, population)
        slots = [self._slot(index) for index in range(networks)]
        return [jax.tree.map(itemgetter(slot), on_host) for slot in slots]

    def _slot(self, index: int) -> int:
        """Return the slot of a network; networks are dealt in turn, so that any number is spread evenly."""
        round_, device = divmod(index, len(self.devices))
        return device * self.slots_per_device + round_


def batched(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield the items in consecutive batches of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def in_groups(kinds: Sequence[Any], size: int, make: Callable[[Sequence[int]], Sequence[Item]]) -> list[Item]:
    """Make something for every place of `kinds`, those of one kind together and at most `size` at once.

    kinds: what the things at one call of `make` have in common; kinds are made in their order. make: (places) -> what
    belongs there. Returns all in the order of their places.
    """
    made: dict[int, Item] = {}
    for _, group in groupby(sorted(range(len(kinds)), key=kinds.__getitem__), key=kinds.__getitem__):
        for places in batched(list(group), size):
            made.update(zip(places, make(places), strict=True))
    return [made[place] for place in range(len(kinds))]


def place(parameters: int, devices: Sequence[jax.Device] | None = None, networks: int | None = None) -> Placement:
    """Return a placement for networks of that many parameters on the devices; all local ones by default.

    Memory bounds the slots (about half a gigabyte of training state per device on CPU, four on an accelerator); on CPU,
    so does 16, since more slots gain nothing. `networks` lowers the bound if there will never be more.
    """
    devices = tuple(devices if devices is not None else jax.local_devices())
    on_cpu = devices[0].platform == "cpu"
    bytes_a_network = 6 * 4 * parameters  # weights, their start, best so far, two moments, and a gradient
    slots = max(1, (1 << 29 if on_cpu else 1 << 32) // bytes_a_network)
    slots = min(slots, 16 if on_cpu else 256)
    if networks is not None:
        slots = min(slots, math.ceil(max(networks, 1) / len(devices)))
    return Placement(devices, slots)


def use_all_cores(devices: int | None = None) -> int:
    """Give JAX one CPU device per core, or `devices` of them, so that as many networks train side by side.

    Call it before JAX computes anything or lists its devices. Returns the number of CPU devices.

    Raises:
        ValueError: for a number outside 1 to the cores of this machine.
        RuntimeError: JAX has already started with another number of CPU devices.
    """
    wanted = cores() if devices is None else devices
    if not 1 <= wanted <= cores():
        raise ValueError(f"devices is {devices}; allowed: 1 to {cores()}, the cores of this machine")
    try:
        jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:
        there = jax.local_device_count("cpu")
        if there != wanted:
            raise RuntimeError(
                f"JAX has been started with {there} of {wanted} CPU devices; call use_all_cores before it computes"
            ) from None
    return wanted


def program_text(run: Run, *arguments: PyTree) -> str:
    """Return the text of a compiled program for arguments of those shapes: its code and its constants."""
    compiled: Any = run
    text: str = compiled.lower(*arguments).as_text()
    return text


def over_population(body: Body, placement: Placement) -> Run:
    """Lift `body` from one network to a population, and compile it.

    `body(carried, given, shared)` returns the next `carried`: `carried` and `given` belong to one network, `shared` to
    all. The result maps (population of carried, population of given, shared, counts) to the next population of carried,
    whose old buffers it reuses.
    """

    def on_device(carried: PyTree, given: PyTree, shared: PyTree, count: Int32[Array, "1"]) -> PyTree:
        if not placement.one_at_a_time:
            return jax.vmap(body, in_axes=(0, 0, None))(carried, given, shared)

        def one_network(index: Array, population: PyTree) -> PyTree:
            read = lambda leaf: lax.dynamic_index_in_dim(leaf, index, keepdims=False)  # noqa: E731
            result = body(jax.tree.map(read, population), jax.tree.map(read, given), shared)
            write = lambda leaf, new: lax.dynamic_update_index_in_dim(leaf, new, index, 0)  # noqa: E731
            return jax.tree.map(write, population, result)

        return lax.fori_loop(0, count[0], one_network, carried)

    sharded = jax.shard_map(
        on_device,
        mesh=placement.mesh,
        in_specs=(_NETWORKS, _NETWORKS, _EVERYWHERE, _NETWORKS),
        out_specs=_NETWORKS,
        check_vma=False,
    )
    compiled: Any = jax.jit(sharded, donate_argnums=0)
    return compiled
