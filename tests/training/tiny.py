"""The configuration of a run of a few small steps, and the workers of a training by one process."""

import tensorflow as tf

from hali_tf.config import Config
from hali_tf.training.cluster import Workers

ALONE = Workers(tf.distribute.get_strategy())


def config_of(folder, **flags):
    tiny = {"width": 0.01, "channels": 1, "precision": "float32", "batch_size": 4, "steps": 4}
    return Config.of(run_dir=str(folder), **{**tiny, **flags}).validate()
