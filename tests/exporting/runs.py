"""A run folder as training leaves it, without the training."""

import keras
import numpy as np

from hali_tf.config import Config
from hali_tf.data import Split
from hali_tf.runs.checkpoints import Checkpoints
from hali_tf.runs.reopening import make_model
from hali_tf.runs.run_folder import record_start


def make_run(folder, **flags):
    """A run folder with a checkpoint of random weights, statistics included."""
    config = Config.of(
        **{
            "run_dir": str(folder),
            "channels": 1,
            "width": 0.5,
            "precision": "float32",
            "jit_compile": "false",
            **flags,
        }
    ).validate()
    keras.utils.set_random_seed(0)  # fixtures of a module come before `conftest.seeded`
    record_start(config, Split(np.zeros((1, 16, 16, 1), np.uint8)), 1)
    model = make_model(config)
    rng = np.random.default_rng(0)
    for variable in model.average.encoder.weights + model.average.decoder.weights:
        value = variable.numpy()
        change = 0.3 * np.abs(value).mean() * rng.standard_normal(value.shape)
        # The moving variances are among them: they must stay positive.
        variable.assign(np.abs(value + change) if (value > 0).all() else value + change)
    Checkpoints(config.run_dir, model).save()
    return str(folder)
