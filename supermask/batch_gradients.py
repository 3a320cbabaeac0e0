"""Gradients of a masked network on a batch of training images, as a recipe has them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Int32, UInt32

from supermask.augmentation import augmented
from supermask.evaluation import read_by, training_loss
from supermask.keys import Purpose, step_key
from supermask.networks import Network
from supermask.normalisation import Normalised
from supermask.params import AnyArray, Params, masked, with_kernels
from supermask.recipe import Recipe
from supermask.short import short


@short
class Given(NamedTuple):
    """Constants of one network.

    masks: the weights that may move. inputs: indices of the inputs that it reads; None for all. key: of augmentation
    and dropout, from which every step folds its own; None without any.
    """

    masks: Mapping[str, Bool[AnyArray, "..."]]
    inputs: Int32[AnyArray, " inputs"] | None = None
    key: UInt32[AnyArray, "2"] | None = None


def batch_gradient(network: Network, recipe: Recipe) -> Callable[..., tuple[Params, Params]]:
    """Return (params, given, step, images scaled to [0, 1], labels) -> the gradient of the recipe's loss, and a state.

    The state is the network's after the batch: see `networks.in_training`.
    The images are changed by the draws of the network's key and the step, whatever is trained beside it. Where the
    recipe limits the gradient's norm, that of pruned weights is 0: they are not trained. Raises ValueError where images
    are to be changed and there is no key, or are codes.
    """
    if recipe.augment is not None and network.reads_codes:
        raise ValueError(f"recipe.augment is {recipe.augment} for a network that reads codes; allowed: None")
    blank = network.mean if isinstance(network, Normalised) else (0.0,)

    def loss(params: Params, images: Array, labels: Array, key: Array | None) -> tuple[Array, Params]:
        return training_loss(network, params, images, labels, key, smoothing=recipe.label_smoothing)

    gradient, draws = jax.grad(loss, has_aux=True), network.model().draws

    def of_batch(params: Params, given: Given, step: Array, images: Array, labels: Array) -> tuple[Params, Params]:
        if recipe.augment is not None:
            if given.key is None:
                raise ValueError("given.key is None, and the recipe augments images; allowed: a key")
            images = augmented(step_key(given.key, step), images, recipe.augment, blank)
        key = None
        if draws and given.key is not None:
            key = jax.random.fold_in(step_key(given.key, step), int(Purpose.DROPOUT))
        grads, state = gradient(params, read_by(given.inputs, images), labels, key)
        if not recipe.clip:
            return grads, state
        pruned = masked({layer: grads[layer]["kernel"] for layer in given.masks}, given.masks)
        return with_kernels(grads, pruned), state

    return of_batch
