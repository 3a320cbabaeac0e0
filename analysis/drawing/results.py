"""A study's stored results as tables, from which figures are drawn."""

from collections.abc import Hashable
from dataclasses import dataclass, field, fields

import numpy as np
import pandas as pd

from supermask.analysis.drawing.captions import label
from supermask.analysis.kinds.genuine import genuine_arrays, genuine_result
from supermask.analysis.kinds.learned_mask import rounded
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.rounds import UNPRUNED, Unpruned, decode_round, decode_round_zero
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study, choices_of
from supermask.learned_masks import LearnedMask
from supermask.masks import Masks
from supermask.named_members import BUILT_IN, Members
from supermask.networks import Kernels, Params, kernels_of
from supermask.restarts import Treatment
from supermask.sparse_training.runs import SparseRun


@dataclass(frozen=True)
class Shown:
    """The lines or panels of a figure: its own labels, and names of criteria or actions, which `members` knows."""

    names: tuple[str, ...]
    members: Members = BUILT_IN


@dataclass(frozen=True)
class Results:
    """Read access to the results of a study in an experiment, all of which must be stored.

    `shown` is what the figure shows.
    """

    experiment: Experiment
    study: Study
    store: Store
    shown: Shown
    _round_zero: dict[int, tuple[Params, Params]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def trainings(self) -> pd.DataFrame:
        """Return one row per training: treatment, seed, round, and metrics; round 0 once per seed, as 'unpruned'."""
        nothing = dict.fromkeys((choice.name for choice in fields(Treatment)), UNPRUNED)
        rows = []
        for seed in self.experiment.seeds:
            rows.append(nothing | {"seed": seed, "round": 0} | self.metrics(Unpruned(), seed))
            for treatment in self.study.of(Treatment):
                own = choices_of(self.experiment.treated(treatment)) | {"seed": seed}
                for round_, named in enumerate(results_of(self.experiment, treatment, seed), start=1):
                    rows.append(own | {"round": round_} | self.metrics_of(named.id))
        return self.labelled(pd.DataFrame(rows))

    def untrained(self) -> pd.DataFrame:
        """Return one row per untrained network: criterion, weights, seed, round (level of sparsity), and metrics."""
        rows = [
            choices_of(run) | {"seed": seed, "round": level} | self.metrics_of(named.id)
            for run in self.study.of(Untrained)
            for seed in self.experiment.seeds
            for level, named in enumerate(results_of(self.experiment, run, seed))
        ]
        return self.labelled(pd.DataFrame(rows))

    def sparse_trainings(self) -> pd.DataFrame:
        """Return one row per sparse training: the run's fields, seed, and metrics."""
        rows = [
            choices_of(run) | {"seed": seed} | self.metrics(run, seed)
            for run in self.study.of(SparseRun)
            for seed in self.experiment.seeds
        ]
        return self.labelled(pd.DataFrame(rows))

    def metrics(self, run: Hashable, seed: int) -> dict[str, float]:
        """Return the metrics of a run's result, or of its first if it has several."""
        return self.metrics_of(results_of(self.experiment, run, seed)[0].id)

    def arrays(self, run: Hashable, seed: int) -> dict[str, np.ndarray]:
        """Return the arrays of a run with one result, as its kind's module writes them."""
        return self.arrays_of(results_of(self.experiment, run, seed)[0].id)

    def learned_mask(self, learned: LearnedMask, seed: int) -> Masks:
        """Return the rounded mask of learned logits."""
        return rounded(learned, self.arrays(learned, seed))

    def unpruned_weights(self, seed: int) -> tuple[Params, Params]:
        """Return initial and final parameters of round 0, cached because every later round is decoded against them."""
        if seed not in self._round_zero:
            self._round_zero[seed] = decode_round_zero(self.arrays(Unpruned(), seed))
        return self._round_zero[seed]

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> tuple[Masks, Kernels]:
        """Return masks of a later round, and kernels at its end."""
        named = results_of(self.experiment, treatment, seed)[round_ - 1]
        masks, final, *_ = decode_round(self.arrays_of(named.id), kernels_of(self.unpruned_weights(seed)[0]))
        return masks, final

    def metrics_of(self, id_: str) -> dict[str, float]:
        """Return the metrics of a result by its id. Raises StoreError if it is damaged or no result."""
        return genuine_result(self.store, id_).metrics

    def arrays_of(self, id_: str) -> dict[str, np.ndarray]:
        """Return the arrays of a result by its id. Raises StoreError if it is damaged or no result."""
        return genuine_arrays(self.store, genuine_result(self.store, id_))

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table with its origin in the first columns."""
        labels = {
            "dataset": self.experiment.data.name,
            "network": self.experiment.protocol.network,
            "protocol": label(self.experiment, self.study),
        }
        for position, (name, words) in enumerate(labels.items()):
            table.insert(position, name, words)
        return table
