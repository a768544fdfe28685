"""The training command in a process of its own, and the weights that it leaves."""

import os

import numpy as np

from tests import commands

TINY = (
    "--data=digits",
    "--width=0.01",
    "--batch_size=4",
    "--precision=float32",
    "--learning_rate=1e-3",
    "--log_every=1",
    "--checkpoint_every=2",
)


def start(run_dir, *flags):
    """The command, under way."""
    return commands.start("train", *TINY, f"--run_dir={run_dir}", *flags)


def train(run_dir, *flags):
    """The command, done: its exit code, stdout and stderr."""
    return commands.run("train", *TINY, f"--run_dir={run_dir}", *flags)


def weights(run_dir):
    """Everything in the last checkpoint that a later step depends on, name to array."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(os.path.join(run_dir, "checkpoints"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name not in ("_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter/.ATTRIBUTES/VARIABLE_VALUE")
    }


def assert_same_weights(run_dir, other):
    one, two = weights(run_dir), weights(other)
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)
