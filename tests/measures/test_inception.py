"""A frozen graph with the published network's names, whose features are mean colours."""

import numpy as np
import pytest
import tensorflow as tf

from hali_tf.errors import UserError
from hali_tf.measures import inception


@pytest.fixture(name="weights")
def _weights(tmp_path):
    """As the published one: of a single image, resized by the graph itself."""
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, None, 3], name="Cast")
        one = tf.expand_dims(image, 0, name="ExpandDims")
        resized = tf.compat.v1.image.resize_bilinear(one, [8, 8], name="ResizeBilinear")
        pooled = tf.nn.avg_pool2d(resized, 8, 8, "VALID", name="pool_3")
        tf.reshape(pooled, [1, 3], name="pool_3/_reshape")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return str(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_number_and_size_are_embedded(weights, channels):
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, channels), dtype=np.uint8)
    halves = images[:, ::2, ::2].astype(float)  # what this resize takes of 16 pixels to 8
    expected = np.broadcast_to(halves.mean(axis=(1, 2)), (5, 3))
    np.testing.assert_allclose(inception.load(weights)(images), expected, rtol=1e-5)


def test_other_files_are_refused_in_one_line(tmp_path):
    for name, content in (("text.pb", b"no graph"), ("empty.pb", b"")):
        (tmp_path / name).write_bytes(content)
    for name in ("text.pb", "empty.pb", "none.pb"):
        with pytest.raises(UserError, match=f"--feature_weights=.*{name}: expected") as error:
            inception.load(str(tmp_path / name))
        assert "\n" not in str(error.value)
