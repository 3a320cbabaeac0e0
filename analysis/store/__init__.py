"""Results on disk: records and arrays, their ids, and checkpoints of unfinished trainings."""
