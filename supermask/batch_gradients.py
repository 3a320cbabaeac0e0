"""Gradients of a masked network on a batch of training images, as a recipe has them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
from jaxtyping import Array, Bool, Int32, UInt32

from supermask.augmentation import augmented
from supermask.evaluation import cross_entropy, read_by
from supermask.keys import step_key
from supermask.networks import Network
from supermask.normalisation import Normalised
from supermask.params import AnyArray, Params, masked, with_kernels
from supermask.recipe import Recipe


class Given(NamedTuple):
    """Constants of one network.

    masks: the weights that may move. inputs: indices of the inputs that it reads; None for all. key: of augmentation,
    from which every step folds its own; None without any.
    """

    masks: Mapping[str, Bool[AnyArray, "..."]]
    inputs: Int32[AnyArray, " inputs"] | None = None
    key: UInt32[AnyArray, "2"] | None = None


def batch_gradient(network: Network, recipe: Recipe) -> Callable[..., Params]:
    """Return (params, given, step, images scaled to [0, 1], labels) -> the gradient of the recipe's loss.

    The images are changed by the draws of the network's key and the step, whatever is trained beside it. Where the
    recipe limits the gradient's norm, that of pruned weights is 0: they are not trained. Raises ValueError where images
    are to be changed and there is no key.
    """
    blank = network.mean if isinstance(network, Normalised) else (0.0,)

    def loss(params: Params, images: Array, labels: Array) -> Array:
        return cross_entropy(network, params, images, labels, smoothing=recipe.label_smoothing)

    gradient = jax.grad(loss)

    def of_batch(params: Params, given: Given, step: Array, images: Array, labels: Array) -> Params:
        if recipe.augment is not None:
            if given.key is None:
                raise ValueError("given.key is None, and the recipe augments images; allowed: a key")
            images = augmented(step_key(given.key, step), images, recipe.augment, blank)
        grads = gradient(params, read_by(given.inputs, images), labels)
        if not recipe.clip:
            return grads
        pruned = masked({layer: grads[layer]["kernel"] for layer in given.masks}, given.masks)
        return with_kernels(grads, pruned)

    return of_batch
