"""A small set with attributes, and the configuration of a small classifier of them."""

import numpy as np

from hali_tf.config import ClassifierConfig
from hali_tf.data import Source, Split

NAMES = ("Bright", "Red", "Any")
ENCODER = {"architecture": "hali16", "width": 0.5}


def faces(size=16, counts=(("train", 80), ("validation", 12), ("test", 12))):
    """A source of one-coloured images: brightness and colour are attributes, the last is chance."""
    splits = {}
    for seed, (name, count) in enumerate(counts):
        rng = np.random.default_rng(seed)
        labels = (rng.random((count, 3)) > 0.5).astype(np.uint8)
        images = np.full((count, size, size, 3), 20) + 100 * labels[:, :1, None, None]
        images[..., 0] += 100 * labels[:, 1, None, None]
        images += rng.integers(0, 15, images.shape)
        splits[name] = Split(images.astype(np.uint8), labels)
    return Source("faces", (size, size, 3), splits.__getitem__, NAMES, multi_label=True)


def config_of(folder, **values):
    return ClassifierConfig(
        **{
            "data": "celeba",
            "out": str(folder),
            "weights": "none",
            "frozen_blocks": 0,
            "batch_size": 8,
            "epochs": 12,
            "degrade": False,
            "precision": "float32",
            "learning_rate": 3e-3,
            **values,
        }
    ).validate()
