"""Metrics and curves that are stored for every training."""

from supermask.training import Trained

CURVES = ("evaluated_at", "validation_loss", "validation_accuracy")
"""The fields of `Trained` that are stored as arrays, as `curve.NAME`."""


TRAINING_METRICS = (
    *("test_accuracy", "test_loss", "test_accuracy_at_end", "test_loss_at_end", "early_stop_step"),
    *("validation_accuracy", "validation_loss", "validation_accuracy_at_end", "validation_loss_at_end"),
)
"""Names of the metrics of `training_metrics`."""


def training_metrics(trained: Trained) -> dict[str, float]:
    """The metrics of a training: accuracies are fractions, losses nats, early_stop_step the papers' early stopping."""
    return {
        "test_accuracy": float(trained.test_at_early_stop.accuracy),
        "test_loss": float(trained.test_at_early_stop.loss),
        "test_accuracy_at_end": float(trained.test_at_end.accuracy),
        "test_loss_at_end": float(trained.test_at_end.loss),
        "early_stop_step": float(trained.early_stop),
        "validation_accuracy": float(trained.validation_at_early_stop.accuracy),
        "validation_loss": float(trained.validation_at_early_stop.loss),
        "validation_accuracy_at_end": float(trained.validation_at_end.accuracy),
        "validation_loss_at_end": float(trained.validation_at_end.loss),
    }
