"""Fine-tuning of shared values: a centroid's gradient is the sum of its weights' gradients, and biases go on training.

Han et al. 2016 (arXiv 1510.00149), section 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Float, Float32

from supermask.checks import check_seed
from supermask.compression.quantisation import MOST_BITS, Quantised, expand
from supermask.datasets import Dataset
from supermask.descent import Descent, Rule, descending, stepping, train_population
from supermask.evaluation import UNSEEN, PlacedData, cross_entropy, evaluate
from supermask.intervals import Course, DataOrder, OnProgress, TrainingConfig, ignore_progress
from supermask.live_weights import Adam, Engine, pays, serves
from supermask.live_weights.population import move_live
from supermask.live_weights.shared import values_of
from supermask.networks import Network, check_descends
from supermask.params import AnyArray, Params
from supermask.population import Placement, Run, in_groups
from supermask.resuming import Checkpoints
from supermask.short import short

_Values = tuple[dict[str, Float32[AnyArray, " values"]], dict[str, Float32[AnyArray, " features"]]]
"""The trained values: codebooks, padded to one size, and biases."""


@short
@dataclass(frozen=True, eq=False)
class CentroidTrainer:
    """Fine-tunes the shared values of a population of quantised networks by Adam; codes stay fixed.

    It keeps the values of lowest validation loss, which may be the initial ones. Where it pays, steps are taken on live
    weights alone (see `supermask.live_weights`). Elsewhere codebooks are padded to one size during training, so that
    one compiled program trains networks of any number of bits. With `checkpoints`, an interrupted training resumes
    from its last checkpoint.
    """

    network: Network
    data: Dataset
    config: TrainingConfig
    placement: Placement
    checkpoints: Checkpoints | None = None

    def __post_init__(self) -> None:
        self._placed  # noqa: B018 - raises before training if the data does not fit the network

    def train(
        self, networks: Sequence[Quantised], seeds: Sequence[int], on_progress: OnProgress = ignore_progress
    ) -> list[Quantised]:
        """Return the networks with fine-tuned values, in order; `seeds` determine their batches."""
        check_descends(self.network, self.data.image_shape)
        for seed in seeds:
            check_seed(seed)
        live = [self._on_live_weights(each) for each in networks]

        def tune(places: Sequence[int]) -> list[Quantised]:
            train = self._train_live if live[places[0]] else self._train_population
            return train([networks[i] for i in places], self._course([seeds[i] for i in places]), on_progress)

        return in_groups(live, self.placement.slots, tune)

    def _on_live_weights(self, quantised: Quantised) -> bool:
        if not serves(self.network, self.placement, self.data.dtype):
            return False
        weights, live = (sum(int(f(mask)) for mask in quantised.masks.values()) for f in (np.size, np.sum))
        return pays(weights, live, self.config.steps)

    def _course(self, seeds: Sequence[int]) -> Course:
        orders = [DataOrder(seed, 0, len(self.data.train)) for seed in seeds]
        return Course(self._placed, self.config, orders, self.config.steps)

    def _train_live(self, networks: Sequence[Quantised], course: Course, on_progress: OnProgress) -> list[Quantised]:
        lives = [
            self._engine.begin_shared(
                jax.tree.map(np.asarray, expand(each)),
                {n: np.asarray(mask) for n, mask in each.masks.items()},
                each.codes,
                each.codebooks,
            )
            for each in networks
        ]
        ends, _ = move_live(self._engine, course, lives, self.checkpoints, on_progress)
        tuned = []
        for each, end in zip(networks, ends, strict=True):
            books, biases = values_of(self.network.dense_layers, end.best_params, each.codebooks, each.biases)
            tuned.append(Quantised(each.codes, each.masks, {**books}, {**biases}))
        return tuned

    def _train_population(
        self, networks: Sequence[Quantised], course: Course, on_progress: OnProgress
    ) -> list[Quantised]:
        starts, given = [self._start(each) for each in networks], [(each.codes, each.masks) for each in networks]
        steps = stepping(self._program, course, starts, given)
        ends, _ = train_population(course, steps, self.checkpoints, on_progress)
        return [
            each._replace(
                codebooks={n: end.best_params[0][n][: values.size] for n, values in each.codebooks.items()},
                biases=end.best_params[1],
            )
            for each, end in zip(networks, ends, strict=True)
        ]

    def _start(self, quantised: Quantised) -> Descent:
        books: dict[str, Float[AnyArray, " values"]] = {
            layer: np.pad(np.asarray(book), (0, 2**MOST_BITS - book.size))
            for layer, book in quantised.codebooks.items()
        }
        values = (books, quantised.biases)
        return Descent.begin(values, jax.tree.map(np.asarray, self._optimiser.init(values)), UNSEEN)

    @cached_property
    def _engine(self) -> Engine:
        return Engine(self.network, self.data, self.config.batch_size, Adam(self.config.learning_rate))

    @cached_property
    def _optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.config.learning_rate)

    @cached_property
    def _placed(self) -> PlacedData:
        return PlacedData(self.data, self.placement, self.network)

    @cached_property
    def _program(self) -> Run:
        network, maximum = self.network, self.data.maximum

        def network_of(values: _Values, given: Any) -> Params:
            codes, masks = given
            return expand(Quantised(codes, masks, *values))

        def loss(values: _Values, given: Any, images: Array, labels: Array) -> Array:
            return cross_entropy(network, network_of(values, given), images, labels)

        gradient = jax.grad(loss)
        rule = Rule(
            lambda values, given, step, images, labels: (gradient(values, given, images, labels), {}),
            lambda values, updates, given, state: optax.apply_updates(values, updates),
            lambda values, given, split: evaluate(network, network_of(values, given), split, maximum),
        )
        return descending(rule, self._optimiser, maximum, self.placement)
