"""Trained quantisation: a layer's weights share 2^bits values, of which a pruned layer needs one for zero.

The values (centroids) come from k-means over the layer's live weights, started at equal distances from least to
greatest; then they are fine-tuned: a centroid's gradient is the sum of its weights' gradients. Biases are not
quantised, and go on training. Han et al. 2016, section 3.

In a pruned layer one of the 2^bits codes is zero's, for the filler zeros of relative indices (`coding`), as in the
released decoder: 2^bits − 1 values are left for its live weights.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32, UInt8

from supermask.checks import check_seed
from supermask.datasets import Dataset
from supermask.evaluation import PlacedData, Scores, cross_entropy, evaluate, scaled, where_better
from supermask.intervals import DataOrder, OnProgress, TrainingConfig, ignore_progress, train_in_intervals
from supermask.networks import AnyArray, Network, Params, kernels_of
from supermask.population import Placement, batched, over_population
from supermask.short import short

MOST_BITS = 8
MOST_ITERATIONS = 100_000
"""K-means needs some 150 iterations for a pruned LeNet-300-100, up to 2,000 for layers of 400,000 weights."""


@short
class Quantised(NamedTuple):
    """A network whose kernels share values: `codebooks[layer][codes[layer]]` where live, else 0.

    codes are 0 where `masks` is False; a codebook has 2^bits values, or one less where weights are pruned; values of no
    weight are among them.
    """

    codes: dict[str, UInt8[AnyArray, "..."]]
    masks: dict[str, Bool[AnyArray, "..."]]
    codebooks: dict[str, Float32[AnyArray, " values"]]
    biases: dict[str, Float32[AnyArray, " features"]]


def quantise(params: Params, masks: Mapping[str, Bool[AnyArray, "..."]], bits: Mapping[str, int]) -> Quantised:
    """Every layer's live weights as 2^bits shared values, by k-means from a linear start; one less in pruned layers.

    Raises ValueError for bits outside 1 to 8, RuntimeError where k-means does not come to an end.
    """
    quantised = Quantised({}, {}, {}, {})
    for layer, kernel in kernels_of(params).items():
        if not 1 <= bits[layer] <= MOST_BITS:
            raise ValueError(f"bits[{layer!r}] is {bits[layer]}; allowed: 1 to {MOST_BITS}")
        mask = np.asarray(masks[layer])
        values, chosen = k_means(np.asarray(kernel)[mask], 2 ** bits[layer] - (not mask.all()))
        codes: np.ndarray = np.zeros(mask.shape, np.uint8)
        codes[mask] = chosen
        quantised.codes[layer], quantised.masks[layer], quantised.codebooks[layer] = codes, mask, values
        quantised.biases[layer] = np.asarray(params[layer]["bias"])
    return quantised


def k_means(
    weights: Float[np.ndarray, " n"], clusters: int
) -> tuple[Float32[np.ndarray, " clusters"], UInt8[np.ndarray, " n"]]:
    """Centroids in rising order, and each weight's: Lloyd's algorithm in one dimension, from a linear start.

    It ends where no centroid moves any more. A cluster that loses all its weights keeps its place. No weights give
    centroids of 0. Raises RuntimeError where `MOST_ITERATIONS` are not enough.
    """
    if weights.size == 0:
        return np.zeros(clusters, np.float32), np.zeros(0, np.uint8)
    ordered = np.sort(weights.astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    centroids = np.linspace(ordered[0], ordered[-1], clusters)
    for _ in range(MOST_ITERATIONS):
        cuts = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], cuts, [ordered.size]])
        sizes = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(sizes, 1)
        moved = np.where(sizes > 0, means, centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    else:
        raise RuntimeError(f"k-means of {weights.size} weights still moves after {MOST_ITERATIONS} iterations")
    chosen = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights.astype(np.float64))
    return centroids.astype(np.float32), chosen.astype(np.uint8)


def expand(quantised: Quantised) -> Params:
    """The network's parameters: each live weight its codebook's value, the others 0."""
    return {
        layer: {
            "kernel": jnp.where(
                jnp.asarray(quantised.masks[layer]),
                jnp.asarray(quantised.codebooks[layer])[jnp.asarray(codes).astype(jnp.int32)],
                0.0,
            ),
            "bias": jnp.asarray(quantised.biases[layer]),
        }
        for layer, codes in quantised.codes.items()
    }


@short
class Tuning(NamedTuple):
    """One network's shared values under way."""

    codebooks: dict[str, Float[AnyArray, " values"]]
    biases: dict[str, Float[AnyArray, " features"]]
    optimiser: Any
    step: Int32[AnyArray, ""]
    validation: Scores
    best_codebooks: dict[str, Float[AnyArray, " values"]]
    best_biases: dict[str, Float[AnyArray, " features"]]
    best_loss: Float32[AnyArray, ""]


@short
@dataclass(frozen=True, eq=False)
class CentroidTrainer:
    """Fine-tunes shared values of a population of quantised networks, by Adam; codes stay as they are.

    The values of lowest validation loss are kept, those before the first step included. Codebooks are filled up to one
    size while they are tuned, so networks of any bits are trained together, by one compiled program.
    """

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement

    def __post_init__(self) -> None:
        self._placed  # noqa: B018 - the data fits the network, or an error says so before anything is trained

    def train(
        self, networks: Sequence[Quantised], seeds: Sequence[int], on_progress: OnProgress = ignore_progress
    ) -> list[Quantised]:
        """The networks with their values tuned, in order; `seeds` are those of their batches."""
        for seed in seeds:
            check_seed(seed)
        tuned: list[Quantised] = []
        for some, own in zip(
            batched(networks, self.placement.slots), batched(seeds, self.placement.slots), strict=True
        ):
            tuned += self._train_population(some, own, on_progress)
        return tuned

    def _train_population(
        self, networks: Sequence[Quantised], seeds: Sequence[int], on_progress: OnProgress
    ) -> list[Quantised]:
        place = self.placement
        state, counts = place.stack([self._start(each) for each in networks]), place.counts(len(networks))
        fixed = place.stack([(each.codes, each.masks) for each in networks])
        data = self._placed

        def interval(state: Tuning, order: Any, length: int) -> Tuning:
            return self._interval(state, (fixed, order), (data.train, data.validation, length), counts)

        orders = [DataOrder(seed, 0, len(self.data.train)) for seed in seeds]
        state, _ = train_in_intervals(
            place, self.config, orders, self.config.steps, state, interval, lambda s: s.step, on_progress
        )
        ends = place.unstack(state, len(networks))
        return [
            each._replace(
                codebooks={n: end.best_codebooks[n][: values.size] for n, values in each.codebooks.items()},
                biases=end.best_biases,
            )
            for each, end in zip(networks, ends, strict=True)
        ]

    def _start(self, quantised: Quantised) -> Tuning:
        books: dict[str, Float[AnyArray, " values"]] = {
            layer: np.pad(np.asarray(book), (0, 2**MOST_BITS - book.size))
            for layer, book in quantised.codebooks.items()
        }
        values = (books, quantised.biases)
        nothing, unseen = np.asarray(0, np.int32), np.asarray(np.inf, np.float32)
        state = jax.tree.map(np.asarray, optax.adam(self.config.learning_rate).init(values))
        return Tuning(*values, state, nothing, Scores(unseen, np.asarray(0, np.float32)), *values, unseen)

    @cached_property
    def _placed(self) -> PlacedData:
        return PlacedData(self.data, self.placement, self.network)

    @cached_property
    def _interval(self) -> Callable[..., Tuning]:
        network, maximum, optimiser = self.network, self.data.maximum, optax.adam(self.config.learning_rate)

        def interval(tuning: Tuning, given: Any, shared: Any) -> Tuning:
            ((codes, masks), order), (train, validation, length) = given, shared

            def loss(values: tuple[Any, Any], images: Array, labels: Array) -> Array:
                return cross_entropy(network, expand(Quantised(codes, masks, *values)), images, labels)

            def one_step(index: Array, moving: tuple[Any, Any]) -> tuple[Any, Any]:
                values, state = moving
                batch = lax.dynamic_index_in_dim(order, index, keepdims=False)
                grads = jax.grad(loss)(values, scaled(train.images[batch], maximum), train.labels[batch])
                updates, state = optimiser.update(grads, state, values)
                return optax.apply_updates(values, updates), state

            values, state = lax.fori_loop(0, length, one_step, ((tuning.codebooks, tuning.biases), tuning.optimiser))
            scores = evaluate(network, expand(Quantised(codes, masks, *values)), validation, maximum)
            better = scores.loss < tuning.best_loss
            old = (tuning.best_codebooks, tuning.best_biases, tuning.best_loss)
            codebooks, biases, least = where_better(better, (*values, scores.loss), old)
            step = tuning.step + length
            return Tuning(values[0], values[1], state, step, scores, codebooks, biases, least)

        return over_population(interval, self.placement)
