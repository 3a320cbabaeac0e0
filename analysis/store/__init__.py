"""Results on disk: records and arrays, what they are named by, checkpoints of what is not done."""
