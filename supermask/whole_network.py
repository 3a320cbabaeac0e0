"""Answers criteria of the whole network for the toolkit's networks: the training loss, and outputs on inputs of 1."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from supermask import networks
from supermask.criteria import Criterion
from supermask.evaluation import Examples, evaluation_chunk, scaled, training_loss
from supermask.network_facts import Loss, NetworkFacts
from supermask.networks import Network
from supermask.normalisation import without_normalisation
from supermask.params import AnyArray, Kernels, Params, kernels_of
from supermask.trees import leaves_of


def mean_loss(network: Network, maximum: int, examples: Examples, temperature: float = 1.0) -> Loss:
    """Return the mean cross-entropy over a split as a function of the parameters, in nats.

    maximum: the value that images are divided by. temperature: the one that logits are divided by. A network with batch
    norm is taken as in training: it normalises by the statistics of a chunk. The loss is summed by chunks, whose layers
    are computed once more where the gradient needs them: memory does not grow with the split.
    """
    size = examples.labels.shape[0]
    height, width, channels = examples.images.shape[1:]
    chunk = min(evaluation_chunk(network, (height, width, channels)), size)

    @jax.checkpoint
    def summed(params: Params, some: Examples) -> Float[Array, ""]:
        images, labels = jnp.asarray(some.images), jnp.asarray(some.labels)
        loss, _ = training_loss(network, params, scaled(images, maximum), labels, temperature=temperature)
        return loss * labels.size

    def loss(params: Params) -> Float[Array, ""]:
        def add_chunk(total: Array, index: Array) -> tuple[Array, None]:
            part: Any = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, index * chunk, chunk), examples)
            return total + summed(params, part), None

        total, _ = lax.scan(add_chunk, jnp.float32(0), jnp.arange(size // chunk))
        if rest := size % chunk:
            last: Any = jax.tree.map(lambda leaf: leaf[-rest:], examples)
            total = total + summed(params, last)
        return total / size

    return loss


def mean_gradient(network: Network, maximum: int) -> Callable[[Params, Examples], Kernels]:
    """Return (parameters, split) -> the gradient of `mean_loss` by layer; compiled, summed by chunks.

    It is the sum of the chunks' gradients, and holds no more than one chunk's layers in memory.
    """

    def summed(params: Params, images: Array, labels: Array) -> Kernels:
        loss = lambda p: training_loss(network, p, scaled(images, maximum), labels)[0] * labels.size  # noqa: E731
        return kernels_of(jax.grad(loss)(params))

    def mean(params: Params, examples: Examples) -> Kernels:
        size = examples.labels.shape[0]
        height, width, channels = examples.images.shape[1:]
        chunk = min(evaluation_chunk(network, (height, width, channels)), size)

        def add_chunk(index: Array, total: Kernels) -> Kernels:
            part = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, index * chunk, chunk), examples)
            return jax.tree.map(jnp.add, total, summed(params, *part))

        zeros = jax.tree.map(jnp.zeros_like, kernels_of(params))
        total = lax.fori_loop(0, size // chunk, add_chunk, zeros)
        if rest := size % chunk:
            last = summed(params, *jax.tree.map(lambda leaf: leaf[-rest:], examples))
            total = jax.tree.map(jnp.add, total, last)
        return jax.tree.map(lambda leaf: leaf / size, total)

    return jax.jit(mean)


def network_scores(network: Network, image_shape: tuple[int, int, int], maximum: int) -> Callable[..., Kernels]:
    """Return (criterion, initial, final, masks, key, training split) -> the criterion's scores by layer; compiled."""

    @partial(jax.jit, static_argnums=0)
    def scores(
        criterion: Criterion,
        initial: Params,
        final: Params,
        masks: Mapping[str, Bool[AnyArray, "..."]],
        key: Key[Array, ""],
        examples: Examples,
    ) -> Kernels:
        facts = facts_of_network(network, image_shape, maximum, (initial, final), masks, key, examples)
        leaves = leaves_of(initial, lambda path, leaf: path in {f"{layer}/kernel" for layer in masks})
        found = criterion.of_network(facts, leaves)
        return {layer: found[f"{layer}/kernel"] for layer in masks}

    return scores


def facts_of_network(
    network: Network,
    image_shape: tuple[int, int, int],
    maximum: int,
    ends: tuple[Params, Params],
    masks: Mapping[str, Bool[AnyArray, "..."]],
    key: Key[Array, ""],
    examples: Examples,
) -> NetworkFacts:
    """Return the facts of a network whose initial and final parameters are `ends`, with masks by layer."""
    leaves = leaves_of(ends[0], lambda path, leaf: path in {f"{layer}/kernel" for layer in masks})
    alive = leaves.as_masks({f"{layer}/kernel": jnp.asarray(mask) for layer, mask in masks.items()})
    ones = jnp.ones((1, *image_shape), jnp.float32)
    return NetworkFacts(
        jax.tree.map(jnp.asarray, ends[0]),
        jax.tree.map(jnp.asarray, ends[1]),
        alive,
        key,
        mean_loss(network, maximum, examples),
        lambda params: networks.logits(without_normalisation(network), params, ones),
        partial(mean_loss, network, maximum, examples),
    )
