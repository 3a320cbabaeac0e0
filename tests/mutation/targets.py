"""The modules that are mutated, and the tests that have to notice their faults, as arguments of pytest."""

_SPARSE = ("test_sparse_training.py", "test_sparse_schedules.py", "-k")

TARGETS: dict[str, tuple[str, ...]] = {
    "supermask.counts": ("test_counts.py",),
    "supermask.criteria": ("test_criteria.py", "test_released_rules.py"),
    "supermask.actions": ("test_actions.py", "test_released_rules.py"),
    "supermask.masks": ("test_masks.py", "test_doors.py", "-k", "test_masks or nested_masks"),
    "supermask.lottery": ("test_lottery.py", "test_doors.py", "-k", "test_lottery or seeds or whole or of_ones_own"),
    "supermask.restarts": ("test_lottery.py", "test_released_rules.py"),
    "supermask.descent": ("test_training.py", "test_learned_masks.py"),
    "supermask.training": (
        *("test_training.py", "test_compaction.py", "test_nested_levels.py", "test_supermasks.py"),
        *("test_live_training.py", "test_doors.py"),
    ),
    "supermask.learned_masks": ("test_learned_masks.py",),
    "supermask.mask_logits": ("test_learned_masks.py",),
    "supermask.mask_scores": ("test_learned_masks.py",),
    "supermask.sparse_training.base": (
        *_SPARSE,
        "schedules or rigl or densit or apportion or full or start or trainer",
    ),
    "supermask.sparse_training.densities": (*_SPARSE, "schedules or densit or shares"),
    "supermask.sparse_training.dnw": (*_SPARSE, "schedules or dnw or largest"),
    "supermask.sparse_training.drop_and_grow": (*_SPARSE, "schedules or rigl or set"),
    "supermask.sparse_training.dsr": (*_SPARSE, "schedules or dsr"),
    "supermask.sparse_training.magnitude_pruning": (*_SPARSE, "schedules or prun or configurations"),
    "supermask.sparse_training.sparse_momentum": (*_SPARSE, "schedules or sparse_momentum"),
    "supermask.sparse_training.trainer": (
        *_SPARSE[:2],
        *("test_doors.py", "-k", "schedules or trainer or together or reports or counts or seeds or last_step"),
    ),
    "supermask.sparse_training.runs": ("test_sparse_runs.py",),
    "supermask.compression.coding": ("test_compression.py",),
    "supermask.compression.dsd": ("test_compression.py",),
    "supermask.compression.file": ("test_compression.py",),
    "supermask.compression.inference": ("test_inference.py",),
    "supermask.compression.pruning": ("test_compression.py",),
    "supermask.compression.quantisation": ("test_compression.py",),
    "supermask.analysis.drawing.statistics": ("test_statistics.py",),
    "supermask.analysis.drawing.claims": ("test_claims.py",),
    "supermask.analysis.store.database": ("test_opening.py",),
    "supermask.analysis.store.recovery": ("test_recovery.py",),
    "supermask.analysis.kinds.schema": ("test_tidy_table.py",),
    "supermask.analysis.drawing.conditions": ("test_tidy_table.py",),
    "supermask.analysis.store.store": ("test_store.py",),
    "supermask.analysis.command.verify": ("test_store.py", "test_faults.py"),
}
