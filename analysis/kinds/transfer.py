"""Tickets moved to another network's initial weights, or to another data set.

To other weights they move raw, with their signs (Oh et al. 2025), and after matching of hidden units (Adnan et al.
2025). To another data set they take their initial weights along (Morcos et al. 2019).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from supermask.analysis.kinds.base import Context, Kind, Made, Wanted
from supermask.analysis.kinds.fields import TEXT, TRUTH, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.metrics import TRAINING_METRICS, training_metrics
from supermask.analysis.kinds.rounds import ROUNDS, StoredRounds, There, Unpruned, trainer_of
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


@dataclass(frozen=True)
class FromOtherData:
    """The lottery ticket algorithm's mask of each round on the other data set, trained here from the same weights."""


Move = Transfer | FromOtherData


class Transfers(Kind[Move]):
    """Trainings of moved tickets: one result per round."""

    name, plural = "transfer", "moved tickets"
    run_types = (Transfer, FromOtherData)
    required = ("transfer", "round")
    parts: ClassVar[Parts] = {
        "transfer": {"signs": TRUTH, "matched": TRUTH, "to": WHOLE, "ticket": TEXT, "found_on": TEXT}
    }
    column_types: ClassVar[ColumnTypes] = {"signs": "truth", "matched": "truth", "found_on": "text"}
    metrics = ("weights_remaining", *TRAINING_METRICS)

    def describe(self, experiment: Experiment, run: Move, seed: int) -> Sequence[Description]:
        """Describe the ticket of each round, and where it goes. The id of a ticket of other data says all of it."""
        here = ROUNDS.results(experiment, Treatment(), seed)
        own: Sequence[Description]
        if isinstance(run, FromOtherData):
            there = ROUNDS.results(experiment, There(Treatment()), seed)
            own = [{"ticket": each.id, "found_on": each.description["dataset"]} for each in there]
        else:
            own = [{"signs": run.signs, "matched": run.matched, "to": OTHER_NETWORKS + seed}] * len(here)
        pairs = zip(here, own, strict=True)
        return [named.description | {"kind": self.name, "transfer": each} for named, each in pairs]

    def sources(self, run: Move) -> Sequence[Hashable]:
        """Return the unpruned network's training and the tickets."""
        if isinstance(run, FromOtherData):
            return (There(Unpruned()), There(Treatment()))
        return (Unpruned(), Treatment())

    def group(self, run: Move) -> str:
        """Separate the other data set's."""
        return f"{self.name} there" if isinstance(run, FromOtherData) else self.name

    def bundles(self, runs: Sequence[Move]) -> Sequence[tuple[Move, ...]]:
        """Bundle all runs to other weights, because those that match units share the other network's training."""
        split = [tuple(run for run in runs if isinstance(run, each)) for each in self.run_types]
        return [bundle for bundle in split if bundle]

    def make(self, context: Context, runs: Sequence[Move]) -> None:
        """Train the missing moved tickets, population by population."""
        moves = self.lacking(context, ((run, seed) for run in runs for seed in context.experiment.seeds))
        if not moves:
            return
        trainer, stored = trainer_of(context), StoredRounds(context)
        there = StoredRounds(context.there) if any(isinstance(move.run, FromOtherData) for move in moves) else stored
        matched = {move.seed for move in moves if isinstance(move.run, Transfer) and move.run.matched}
        units = _matches(context, trainer, stored, sorted(matched))

        def train(some: Sequence[Wanted[Move]]) -> list[Made]:
            jobs = [
                _job_from_other_data(trainer, there, move)
                if isinstance(move.run, FromOtherData)
                else _job(trainer, stored, move, move.run, units.get(move.seed))
                for move in some
            ]
            remaining = [{"weights_remaining": weights_remaining(dict(job.masks))} for job in jobs]
            trained = trainer.train(jobs, context.steps())
            return [(own | training_metrics(each), None) for own, each in zip(remaining, trained, strict=True)]

        self.make_wanted(context, moves, trainer.placement.slots, train)

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the treatment, and how the ticket was moved."""
        moved = description["transfer"]
        names = ("found_on",) if "ticket" in moved else ("signs", "matched")
        return ROUNDS.columns(description) | dict.fromkeys(self.column_types) | {name: moved[name] for name in names}

    def uses(self, run: Move) -> frozenset[str]:
        """Return no fields of its own: it depends only on its sources, and on the other data set."""
        return frozenset({"other_dataset"} if isinstance(run, FromOtherData) else ())


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


def _job_from_other_data(trainer: Trainer, there: StoredRounds, move: Wanted[Move]) -> Job:
    """Return the training of another data set's ticket, from the initial weights that it was found with."""
    masks = there.end_of_round(Treatment(), move.seed, move.description["round"]).masks
    return Job(pruned(initial_params(trainer, move.seed), masks), masks, move.seed)


def _job(trainer: Trainer, stored: StoredRounds, move: Wanted[Move], run: Transfer, units: Units | None) -> Job:
    """Return the training of a moved ticket: batches in the order of its own seed, for comparison."""
    end = stored.end_of_round(Treatment(), move.seed, move.description["round"])
    start = initial_params(trainer, OTHER_NETWORKS + move.seed)
    masks, kernels = _in_order(end, units if run.matched else None, trainer.network.dense_layers)
    if run.signs:
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
