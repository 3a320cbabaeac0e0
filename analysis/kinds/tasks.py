"""Tasks of a seed: permutations of the data's pixels or classes, all on one network's untrained weights.

The network may have more outputs than there are classes: see `studies.protocols.TaskProtocol`. Everything is on the
data as it is, from weights whose rows or columns are permuted, so that one data set and one compiled program serve all
tasks: see `supermask.permuted_tasks`.
"""

from dataclasses import dataclass

import jax
import numpy as np

from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment
from supermask.keys import Purpose, derive_key
from supermask.learned_masks import LearnedMask
from supermask.lottery import initial_of
from supermask.masks import Masks
from supermask.model import for_classes
from supermask.networks import Kernels, Network, Params, kernels_of, pruned, with_kernels
from supermask.permuted_tasks import PermutedTask, onto_data, permuted_task
from supermask.untrained_networks import untrained_network

PERMUTED, FOUND = ("nothing", "pixels", "classes"), ("learned", "cut")
FEW = 5
"""Permutations of each kind that are compared with the identity."""

LEARNED = LearnedMask("signed_kaiming")
"""How masks are learned. Those that are cut from a trained network go onto the same weights."""


@dataclass(frozen=True)
class TaskMasks:
    """The masks of a seed's tasks of one kind, one result each.

    permuted: what is in another order: 'nothing' (one task), 'pixels' or 'classes'.
    found: 'learned' by gradient descent, or 'cut' from a network that was trained for the task: the level of highest
        validation accuracy of a criterion. There are `FEW` tasks, but as many permutations of pixels as the protocol
        superposes of learned masks.
    """

    permuted: str = PERMUTED[0]
    found: str = FOUND[0]

    def __post_init__(self) -> None:
        for name, allowed in (("permuted", PERMUTED), ("found", FOUND)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {', '.join(allowed)}")


def outputs_of(experiment: Experiment) -> int:
    """Return the outputs of the tasks' network: one for each class at least."""
    return max(experiment.protocol.tasks.outputs, experiment.data.classes)


def network_of(experiment: Experiment) -> Network:
    """Return the experiment's network with spare outputs. Raises ValueError for one that is not of dense layers."""
    network = for_classes(experiment.network, outputs_of(experiment))
    if not network.dense_layers:
        name = type(experiment.network).__name__
        raise ValueError(f"network {name} has other layers; pixels and classes are permuted in dense ones")
    return network


def numbers_of(experiment: Experiment, run: TaskMasks) -> range:
    """Return the numbers of a run's tasks; 0 is the data as it is."""
    if run.permuted == "nothing":
        return range(1)
    most = max(experiment.protocol.tasks.superposed) if run == TaskMasks("pixels") else 0
    return range(1, max(most, FEW) + 1)


def task_of(experiment: Experiment, description: Description, seed: int) -> PermutedTask:
    """Return the permutation of a described task, drawn from its seed. It is the same for learned and cut masks."""
    permuted = description["task"]["permuted"]
    data = experiment.data
    return permuted_task(
        _key(description, seed),
        int(np.prod(data.image_shape)),
        data.classes,
        permute_pixels=permuted == "pixels",
        permute_classes=permuted == "classes",
    )


def training_seed(description: Description, seed: int) -> int:
    """Return the seed of a task's order of data and drawn masks, so that tasks share no draw but the weights'."""
    drawn = jax.random.randint(jax.random.fold_in(_key(description, seed), 2), (), 0, np.iinfo(np.int32).max)
    return int(drawn)


def _key(description: Description, seed: int) -> jax.Array:
    task = description["task"]
    return derive_key(seed, Purpose.TASKS, len(PERMUTED) * task["number"] + PERMUTED.index(task["permuted"]))


def initial_weights(experiment: Experiment, seed: int) -> Params:
    """Return a seed's initial parameters."""
    return initial_of(network_of(experiment), seed, experiment.data.image_shape)


def untrained_weights(experiment: Experiment, seed: int) -> Params:
    """Return the weights that all masks of a seed go onto."""
    return untrained(experiment, initial_weights(experiment, seed))


def weights_on_data(experiment: Experiment, seed: int, task: PermutedTask) -> Params:
    """Return a seed's initial parameters with rows or columns permuted as the task says; its biases are all 0."""
    initial = initial_weights(experiment, seed)
    moved: Kernels = dict(onto_data(kernels_of(initial), task, network_of(experiment).dense_layers))
    return with_kernels(initial, moved)


def untrained(experiment: Experiment, initial: Params) -> Params:
    """Return the weights that masks go onto, of those initial parameters."""
    return untrained_network(initial, LEARNED.weights, glorot=experiment.network.glorot)


def under(network: Params, masks: Masks) -> Params:
    """Return a network under a mask, on the host."""
    found: Params = jax.tree.map(np.asarray, pruned(network, masks))
    return found
