"""Hierarchical Adversarially Learned Inference (Belghazi et al., arXiv 1802.01071)."""

import os

__version__ = "0.1.0"

# Before TensorFlow is imported: its start-up notes would bury the run's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
