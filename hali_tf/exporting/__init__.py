"""From a run folder to a version that TF-Serving loads."""
