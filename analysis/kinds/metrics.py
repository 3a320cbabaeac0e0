"""Metrics and curves that are stored for every training."""

from collections.abc import Mapping
from itertools import product

from supermask.learned_masks import LearnedOutcome
from supermask.training import Trained

CURVES = ("evaluated_at", "validation_loss", "validation_accuracy")
"""The fields of `Trained` that are stored as arrays, as `curve.NAME`."""

ENDS = {"": "early_stop", "_at_end": "end"}
"""Endings of metrics' names, and the moments of an outcome that they stand for."""

SCORES = {
    f"{split}_{what}{ending}": (f"{split}_at_{moment}", what)
    for split, what, (ending, moment) in product(("test", "validation"), ("accuracy", "loss"), ENDS.items())
}
TRAINING_METRICS = ("early_stop_step", *SCORES)
"""Names of the metrics of every training: accuracies are fractions, losses nats."""


def training_metrics(
    outcome: Trained | LearnedOutcome, scores: Mapping[str, tuple[str, str]] = SCORES
) -> dict[str, float]:
    """Return the step of early stopping, and scores by name: each a field of one of the outcome's scores."""
    found = {name: float(getattr(getattr(outcome, moment), what)) for name, (moment, what) in scores.items()}
    return {"early_stop_step": float(outcome.early_stop)} | found
