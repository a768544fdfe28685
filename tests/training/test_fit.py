"""What training starts from."""

import numpy as np

from hali_tf.config import Config
from hali_tf.training import devices
from hali_tf.training.fit import build


def first_weights(seed):
    config = Config.of(
        dry_run=True, width=0.01, channels=1, seed=seed, precision="float32"
    ).validate()
    model = build(config, devices.make_strategy(1))
    return [weight.numpy() for weight in model.trainable_variables]


def test_first_weights_follow_from_the_seed():
    """Else a run killed before its first checkpoint would not come again."""
    one, same, other = first_weights(1), first_weights(1), first_weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(one, same))
    assert sum(np.array_equal(a, b) for a, b in zip(one, other)) < len(one)
