"""Untrained networks under one-shot masks, at every level of sparsity (Zhou et al. 2019, section 5)."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from supermask.analysis.kinds.base import Context, Kind, Made, Wanted, evaluation_steps
from supermask.analysis.kinds.fields import ColumnTypes
from supermask.analysis.kinds.rounds import Unpruned, round_zero, trainer_of
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment, plugins_of, rates_by_layer, rates_of
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.studies.rules import rules_of_criterion
from supermask.analysis.system.words import count
from supermask.criteria import Criterion
from supermask.draws import WEIGHTS
from supermask.evaluation import Scores
from supermask.keys import Purpose, derive_key
from supermask.masks import Scores as Scored
from supermask.masks import full_masks, kept_counts, rank_layers
from supermask.networks import Params, kernels_of
from supermask.restarts import check_numbers, draws_key, scores_of
from supermask.training import Trainer
from supermask.untrained_networks import untrained_network


@dataclass(frozen=True)
class Untrained:
    """An untrained network under one-shot masks of a criterion, at every level: its kept weights are `weights`."""

    criterion: Criterion
    weights: str = WEIGHTS[0]


class UntrainedMasks(Kind[Untrained]):
    """Evaluations of untrained networks: one result per level of sparsity."""

    name, plural = "untrained", "masks on untrained networks"
    run_types = (Untrained,)
    required = ("criterion", "level")
    column_types: ClassVar[ColumnTypes] = {"weights": "text"}
    metrics = ("weights_remaining", "test_accuracy", "test_loss")

    def describe(self, experiment: Experiment, run: Untrained, seed: int) -> Sequence[Description]:
        """Describe levels 0 (nothing pruned) to the protocol's last round."""
        own: Description = {"criterion": run.criterion.name, "weights": run.weights}
        own |= rates_of(experiment) | plugins_of(run.criterion)
        own |= rules_of_criterion(run.criterion)
        base = experiment.describe(self.name, seed)
        return tuple(base | {"level": level} | own for level in range(experiment.protocol.rounds + 1))

    def sources(self, run: Untrained) -> Sequence[Hashable]:
        """Return the unpruned network's training, from which masks are made."""
        return (Unpruned(),)

    def bundles(self, runs: Sequence[Untrained]) -> Iterable[tuple[Untrained, ...]]:
        """Bundle runs of one criterion, which share its ranking."""
        criteria = dict.fromkeys(run.criterion for run in runs)
        return (tuple(run for run in runs if run.criterion == each) for each in criteria)

    def make(self, context: Context, runs: Sequence[Untrained]) -> None:
        """Evaluate missing levels, seed by seed, criterion by criterion."""
        for seed in context.experiment.seeds:
            lacking = [run for run, _ in self.missing(context, ((run, seed) for run in runs))]
            if not lacking:
                continue
            trainer, (initial, final) = trainer_of(context), round_zero(context.experiment, context.store, seed)
            for own in self.bundles(lacking):
                ranks = _one_shot_ranks(own[0].criterion, seed, trainer, initial, final)
                for run in own:
                    self._evaluate(context, run, seed, ranks, trainer, initial)

    def _evaluate(
        self,
        context: Context,
        run: Untrained,
        seed: int,
        ranks: Mapping[str, np.ndarray],
        trainer: Trainer,
        initial: Params,
    ) -> None:
        """Evaluate and store the missing levels of one run under its criterion's ranks."""
        experiment, kernels = context.experiment, kernels_of(initial)
        rates = rates_by_layer(experiment)
        sizes = {layer: kernel.size for layer, kernel in kernels.items()}
        counts = kept_counts(sizes, rates, experiment.protocol.rounds)

        def evaluated(some: Sequence[Wanted[Untrained]]) -> list[Made]:
            levels = [each.description["level"] for each in some]
            network = untrained_network(initial, run.weights, glorot=experiment.network.glorot)
            scores = trainer.evaluate_levels(network, ranks, [counts[level] for level in levels])
            return [
                (_metrics(score, counts[level], counts[0]), None) for level, score in zip(levels, scores, strict=True)
            ]

        wanted = self.lacking(context, [(run, seed)])
        self.make_wanted(context, wanted, len(wanted), evaluated, evaluation_steps(experiment, 1))

    def columns(self, description: Description) -> dict[str, Any]:
        """Return its level of sparsity, as a round; masks are cut at one shot."""
        return {"round": description["level"], "schedule": "one_shot"}

    def uses(self, run: Untrained) -> frozenset[str]:
        """Return levels and rates."""
        return frozenset({"rounds", "rates"})

    def length(self, protocol: Protocol, runs: Sequence[Untrained]) -> str:
        """Return the number of levels."""
        return f"masks cut at {count(protocol.rounds, 'level')}"

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return one evaluation on the test images."""
        return evaluation_steps(experiment, 1)

    def flops(self, experiment: Experiment, description: Description, forward: float) -> float:
        """Return the FLOPs of forward passes of the test images."""
        return forward * len(experiment.data.test)


UNTRAINED = UntrainedMasks()


def _one_shot_ranks(
    criterion: Criterion, seed: int, trainer: Trainer, initial: Params, final: Params
) -> Mapping[str, np.ndarray]:
    """Return one ranking per layer, from which every level of sparsity is cut."""
    masks = full_masks(kernels_of(initial))
    key = draws_key(criterion, seed)
    if key is not None and criterion.is_of_network:
        scores: Scored = {n: jnp.asarray(s) for n, s in trainer.scores(criterion, initial, final, masks, key).items()}
        check_numbers(criterion, scores, masks, (kernels_of(initial), kernels_of(final)))
    else:
        gradient = trainer.gradients(initial) if "gradient" in criterion.needs else None
        scores = scores_of(criterion, kernels_of(initial), kernels_of(final), masks, gradient, key)
    return rank_layers(derive_key(seed, Purpose.TIES), scores, masks)


def _metrics(scores: Scores, kept: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, float]:
    return {
        "weights_remaining": sum(kept.values()) / sum(sizes.values()),
        "test_accuracy": float(scores.accuracy),
        "test_loss": float(scores.loss),
    }
