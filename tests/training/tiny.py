"""The configuration of a run of a few small steps."""

from hali_tf.config import Config


def config_of(folder, **flags):
    tiny = {"width": 0.01, "channels": 1, "precision": "float32", "batch_size": 4, "steps": 4}
    return Config.of(run_dir=str(folder), **{**tiny, **flags}).validate()
