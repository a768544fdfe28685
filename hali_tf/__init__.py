"""Hierarchical Adversarially Learned Inference (Belghazi et al., arXiv 1802.01071)."""

import os
import signal
import sys

__version__ = "0.2.0.dev0"

# Before TensorFlow is imported: its start-up notes would bury the run's own lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A command (python -m hali_tf.train) that is stopped while its modules are imported ends without a
# traceback; hali_tf.command sets Python's own handler again.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
