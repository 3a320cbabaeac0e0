"""A study's stored results as tables: what figures are drawn from."""

from dataclasses import asdict, dataclass, field, fields

import numpy as np
import pandas as pd

from analysis.arrays import decode_logits, decode_round, decode_round_zero
from analysis.captions import label
from analysis.store import Store
from analysis.studies import Description, Experiment, Study, identity
from supermask.learned_masks import LearnedMask, kept_by_layer, rounded_masks
from supermask.lottery import Treatment
from supermask.masks import Masks
from supermask.networks import Kernels, Params, kernels_of
from supermask.sparse_training.runs import SparseRun

UNPRUNED = "unpruned"
"""What stands for the treatment of round 0, which has none."""


@dataclass(frozen=True)
class Results:
    """Read access to one experiment's results of one study, all of which must be stored.

    `names` are what the figure was asked to show.
    """

    experiment: Experiment
    study: Study
    store: Store
    names: tuple[str, ...]
    _round_zero: dict[int, tuple[Params, Params]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def trainings(self) -> pd.DataFrame:
        """One row a training: the treatment's fields, seed, round, and metrics; round 0 once a seed, as 'unpruned'."""
        protocol = self.experiment.protocol
        rows = []
        for seed in self.experiment.seeds:
            nothing = dict.fromkeys((choice.name for choice in fields(Treatment)), UNPRUNED)
            rows.append(nothing | {"seed": seed, "round": 0} | self._metrics(None, seed, 0))
            for treatment in self.study.treatments:
                for round_ in range(1, protocol.rounds + 1):
                    row = asdict(treatment) | {"seed": seed, "round": round_}
                    rows.append(row | self._metrics(treatment, seed, round_))
        return self.labelled(pd.DataFrame(rows))

    def untrained(self) -> pd.DataFrame:
        """One row an untrained network: criterion, weights, seed, round (the level of sparsity), and metrics."""
        rows = []
        for each in self.study.untrained:
            for seed in self.experiment.seeds:
                for level in range(self.experiment.protocol.rounds + 1):
                    description = self.experiment.describe_untrained(each, seed, level)
                    row = {"criterion": each.criterion, "weights": each.weights, "seed": seed, "round": level}
                    rows.append(row | self.store.metrics(identity(description)))
        return self.labelled(pd.DataFrame(rows))

    def learned_metrics(self, learned: LearnedMask, seed: int) -> dict[str, float]:
        """Metrics of a learned mask."""
        return self.store.metrics(identity(self.experiment.describe_learned(learned, seed)))

    def learned_mask(self, learned: LearnedMask, seed: int) -> Masks:
        """The rounded mask of learned logits."""
        logits = decode_logits(self.learned_arrays(learned, seed))
        masks = rounded_masks(learned.method, logits, kept_by_layer(learned, logits))
        return {layer: np.asarray(mask) for layer, mask in masks.items()}

    def learned_arrays(self, learned: LearnedMask, seed: int) -> dict[str, np.ndarray]:
        """Logits and curves of a learned mask."""
        return self.store.arrays(identity(self.experiment.describe_learned(learned, seed)))

    def sparse_trainings(self) -> pd.DataFrame:
        """One row a sparse training: the run's fields, seed, and metrics."""
        rows = [
            asdict(run) | {"seed": seed} | self.store.metrics(identity(self.experiment.describe_sparse(run, seed)))
            for run in self.study.sparse
            for seed in self.experiment.seeds
        ]
        return self.labelled(pd.DataFrame(rows))

    def metrics_of(self, description: Description) -> dict[str, float]:
        """Metrics of any result of the experiment."""
        return self.store.metrics(identity(description))

    def sparse_arrays(self, run: SparseRun, seed: int) -> dict[str, np.ndarray]:
        """Structures, curves and weights of a sparse training: see `analysis.sparse_runs`."""
        return self.store.arrays(identity(self.experiment.describe_sparse(run, seed)))

    def unpruned_weights(self, seed: int) -> tuple[Params, Params]:
        """Initial and final parameters of round 0, read once: every later round is decoded against them."""
        if seed not in self._round_zero:
            description = self.experiment.describe_training(None, seed, 0)
            self._round_zero[seed] = decode_round_zero(self.store.arrays(identity(description)))
        return self._round_zero[seed]

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> tuple[Masks, Kernels]:
        """Masks of a later round, and kernels at its end."""
        description = self.experiment.describe_training(treatment, seed, round_)
        initial, _ = self.unpruned_weights(seed)
        masks, final, _ = decode_round(self.store.arrays(identity(description)), kernels_of(initial))
        return masks, final

    def _metrics(self, treatment: Treatment | None, seed: int, round_: int) -> dict[str, float]:
        return self.store.metrics(identity(self.experiment.describe_training(treatment, seed, round_)))

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with what it was made from in its first columns."""
        labels = {
            "dataset": self.experiment.data.name,
            "network": self.experiment.protocol.network,
            "protocol": label(self.experiment, self.study),
        }
        for position, (name, words) in enumerate(labels.items()):
            table.insert(position, name, words)
        return table
