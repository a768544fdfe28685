"""The run folder: configuration, checkpoints, metrics, and reopening a run."""
