"""How any model is trained: the driver of a run, its directory, checkpoints, records, strategies."""
