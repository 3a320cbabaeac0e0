"""Tickets moved to another network's initial weights: raw, with their signs, and after matching of hidden units.

Oh et al. 2025 carry the signs of trained weights along; Adnan et al. 2025 match hidden units first.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from supermask.analysis.kinds.base import Context, Kind, Made, Wanted
from supermask.analysis.kinds.fields import TRUTH, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.metrics import TRAINING_METRICS, training_metrics
from supermask.analysis.kinds.rounds import ROUNDS, StoredRounds, Unpruned, trainer_of
from supermask.analysis.store.identity import Description
from supermask.analysis.studies.experiment import Experiment
from supermask.lottery import initial_params
from supermask.masks import Masks, full_masks, weights_remaining
from supermask.matching import Units, match_units, permute_units
from supermask.networks import kernels_of, pruned, with_kernels
from supermask.restarts import End, Treatment
from supermask.training import Job, Trainer

OTHER_NETWORKS = 1 << 29
"""Added to a seed for the network that its tickets move to: no seed of a study is as large."""


@dataclass(frozen=True)
class Transfer:
    """The lottery ticket algorithm's mask of each round, trained on another network's initial weights.

    signs: whether kept weights get the signs that the ticket's weights were trained to.
    matched: whether the mask's hidden units are first put into the order of the other network's, once both are trained.
    """

    signs: bool = False
    matched: bool = False


class Transfers(Kind[Transfer]):
    """Trainings of moved tickets: one result per round."""

    name, plural = "transfer", "moved tickets"
    run_types = (Transfer,)
    required = ("transfer.signs", "transfer.matched", "round")
    parts: ClassVar[Parts] = {"transfer": {"signs": TRUTH, "matched": TRUTH, "to": WHOLE}}
    column_types: ClassVar[ColumnTypes] = {"signs": "truth", "matched": "truth"}
    metrics = ("weights_remaining", *TRAINING_METRICS)

    def describe(self, experiment: Experiment, run: Transfer, seed: int) -> Sequence[Description]:
        """Describe the ticket of each round, and where it goes."""
        own = {"signs": run.signs, "matched": run.matched, "to": OTHER_NETWORKS + seed}
        tickets = ROUNDS.results(experiment, Treatment(), seed)
        return [named.description | {"kind": self.name, "transfer": own} for named in tickets]

    def sources(self, run: Transfer) -> Sequence[Hashable]:
        """Return the unpruned network's training and the tickets."""
        return (Unpruned(), Treatment())

    def bundles(self, runs: Sequence[Transfer]) -> Sequence[tuple[Transfer, ...]]:
        """Bundle all runs, because those that match units share the other network's training."""
        return [tuple(runs)] if runs else []

    def make(self, context: Context, runs: Sequence[Transfer]) -> None:
        """Train the missing moved tickets, population by population."""
        moves = self.lacking(context, ((run, seed) for run in runs for seed in context.experiment.seeds))
        if not moves:
            return
        trainer, stored = trainer_of(context), StoredRounds(context)
        units = _matches(context, trainer, stored, sorted({move.seed for move in moves if move.run.matched}))

        def train(some: Sequence[Wanted[Transfer]]) -> list[Made]:
            jobs = [_job(trainer, stored, move, units.get(move.seed)) for move in some]
            remaining = [{"weights_remaining": weights_remaining(dict(job.masks))} for job in jobs]
            trained = trainer.train(jobs, context.steps())
            return [(own | training_metrics(each), None) for own, each in zip(remaining, trained, strict=True)]

        self.make_wanted(context, moves, trainer.placement.slots, train)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the treatment, and how the ticket was moved."""
        moved = description["transfer"]
        return ROUNDS.columns(description) | {"signs": moved["signs"], "matched": moved["matched"]}

    def uses(self, run: Transfer) -> frozenset[str]:
        """Return no fields of its own: it depends only on its sources."""
        return frozenset()


TRANSFERS = Transfers()


def _matches(context: Context, trainer: Trainer, stored: StoredRounds, seeds: Sequence[int]) -> dict[int, Units]:
    """Return, by seed, the order of its trained network's hidden units that is most like the other trained network's.

    Raises ValueError for a network that is not made of dense layers.
    """
    if seeds and not trainer.network.dense_layers:
        raise ValueError(f"network {type(trainer.network).__name__} has other layers; units are matched in dense ones")
    starts = {seed: initial_params(trainer, OTHER_NETWORKS + seed) for seed in seeds}
    jobs = [Job(start, full_masks(kernels_of(start)), OTHER_NETWORKS + seed) for seed, start in starts.items()]
    others = trainer.train(jobs, context.steps()) if jobs else []
    return {
        seed: match_units(stored.round_zero(seed)[1], other.params, trainer.network.dense_layers)
        for seed, other in zip(seeds, others, strict=True)
    }


def _job(trainer: Trainer, stored: StoredRounds, move: Wanted[Transfer], units: Units | None) -> Job:
    """Return the training of a moved ticket: batches in the order of its own seed, for comparison."""
    end = stored.end_of_round(Treatment(), move.seed, move.description["round"])
    start = initial_params(trainer, OTHER_NETWORKS + move.seed)
    masks, kernels = _in_order(end, units if move.run.matched else None, trainer.network.dense_layers)
    if move.run.signs:
        start = with_kernels(start, {n: _signed(kernel, kernels_of(start)[n]) for n, kernel in kernels.items()})
    return Job(pruned(start, masks), masks, move.seed)


def _in_order(end: End, units: Units | None, layers: Sequence[str]) -> tuple[Masks, Mapping[str, np.ndarray]]:
    """Return a ticket's masks and trained kernels, with hidden units in another order if one is given."""
    kernels = {layer: np.asarray(kernel) for layer, kernel in end.final.items()}
    if units is None:
        return end.masks, kernels
    moved = {
        what: permute_units({n: {"kernel": np.asarray(leaf)} for n, leaf in each.items()}, units, layers)
        for what, each in (("masks", end.masks), ("kernels", kernels))
    }
    masks: Masks = {layer: leaves["kernel"] for layer, leaves in moved["masks"].items()}
    return masks, {layer: leaves["kernel"] for layer, leaves in moved["kernels"].items()}


def _signed(signs: np.ndarray, magnitudes: Any) -> np.ndarray:
    """Return magnitudes with other signs; a trained weight of exactly 0 has none and leaves the sign as it is."""
    own = np.asarray(magnitudes)
    return np.where(signs == 0, own, np.sign(signs) * np.abs(own)).astype(own.dtype)
