"""Training whose model counts as collapsed when it is first looked at at step 4."""

import runpy

import hali_tf  # noqa: F401  (quiet TensorFlow logs)
from hali_tf.training.divergence import Collapse

_seen = []


def _measure(self, images, step):
    _seen.append(step)
    return {}, ["all is lost"] if step == 4 and _seen.count(4) == 1 else []


if __name__ == "__main__":
    Collapse.measure = _measure
    runpy.run_module("hali_tf.train", run_name="__main__", alter_sys=True)
