"""An evaluation of a model made by hand."""

import numpy as np
import pytest

from hali_tf.config import Config
from hali_tf.data import Source, Split
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.subjects import Subject


@pytest.fixture
def source():
    """20 train, 8 validation and 6 test images, uint8 [16, 16, 1] below 200."""
    rng = np.random.default_rng(0)
    splits = {
        name: Split(rng.integers(0, 200, (count, 16, 16, 1), dtype=np.uint8))
        for name, count in (("train", 20), ("validation", 8), ("test", 6))
    }
    return Source("noise", (16, 16, 1), splits.__getitem__)


@pytest.fixture
def context_of(source, tmp_path):
    """Function from models to the `Context` of an evaluation of them, and more of its fields."""

    def make(*models, **fields):
        config = Config.of(model="hali")
        subjects = tuple(
            Subject(name, str(tmp_path), config, model) for name, model in zip("AB", models)
        )
        return Context(subjects, source, str(tmp_path), **fields)

    return make
