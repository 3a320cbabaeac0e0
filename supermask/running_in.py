"""Running statistics for weights that were not trained with them: those of training images, batch by batch.

A mask on an untrained network changes what every layer puts out, and running statistics start at a mean of 0 and a
variance of 1, which normalise nothing. Those of the masked network itself take their place, as in its first training
steps. A running mean moves by m·old + (1 - m)·seen, with an m of the network's own: two starts tell m and what is seen.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from supermask.evaluation import Examples, evaluation_chunk, scaled
from supermask.networks import Network, in_training, statistics_of, with_statistics
from supermask.params import Params

BATCHES = 8
"""Batches of the training images that are seen: 2,000 images for networks with convolutions."""

FAR = 1024.0
"""The other start; a large one, so that m is precise."""


def run_in(network: Network, params: Params, examples: Examples | None, maximum: int) -> Params:
    """Return the parameters with running statistics that are the mean over the first batches of training images.

    State that does not move like a running mean stays as it is. Networks without state are returned as they are, and
    need no examples.
    """
    if examples is None:
        return params
    height, width, channels = examples.images.shape[1:]
    shape = (height, width, channels)
    batch = min(evaluation_chunk(network, shape), examples.labels.shape[0])
    batches = min(BATCHES, examples.labels.shape[0] // batch)
    names = statistics_of(network, shape)
    own: Params = {layer: {n: jnp.asarray(params[layer][n]) for n in each} for layer, each in names.items()}

    def moved_from(start: float, images: Array) -> Params:
        state = jax.tree.map(lambda leaf: jnp.full_like(leaf, start), own)
        return in_training(network, with_statistics(params, state), images)[1]

    def add(index: Array, total: Params) -> Params:
        images = lax.dynamic_slice_in_dim(jnp.asarray(examples.images), index * batch, batch)
        near, far = (moved_from(start, scaled(images, maximum)) for start in (0.0, FAR))

        def seen(before: Array, near: Array, far: Array) -> Array:
            kept = (far - near) / FAR
            moves = (kept >= 0) & (kept < 1)
            return jnp.where(moves, near / jnp.where(moves, 1 - kept, 1.0), before)

        return jax.tree.map(lambda sum_, *each: sum_ + seen(*each), total, own, near, far)

    zeros: Any = jax.tree.map(jnp.zeros_like, own)
    total = lax.fori_loop(0, batches, add, zeros)
    return with_statistics(params, jax.tree.map(lambda leaf: leaf / batches, total))
