"""The features that FID and KID are defined by (Heusel et al., 2017; Bińkowski et al., 2018).

They are those of the Inception network of classify_image_graph_def.pb in inception-2015-12-05.tgz,
a frozen graph of TensorFlow, which users have to bring.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from hali_tf.errors import UserError, in_one_line

NAME = "Inception's pool_3 features (inception-2015-12-05)"
_INPUT, _OUTPUT = "ExpandDims:0", "pool_3:0"  # pixels from 0 to 255 of any size; [B, 1, 1, 2048]


@functools.lru_cache(maxsize=1)
def load(path: str) -> Callable[[np.ndarray], tf.Tensor]:
    """The network as a function of uint8 images [B, H, W, 1 or 3] to float32 [B, 2048].

    Raises:
      UserError: the file is missing, or not this network.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        with open(path, "rb") as f:
            graph.ParseFromString(f.read())
        network = tf.compat.v1.wrap_function(
            lambda images: tf.import_graph_def(
                graph, input_map={_INPUT: images}, return_elements=[_OUTPUT], name=""
            ),
            [tf.TensorSpec([None, None, None, 3], tf.float32)],
        )
    except (OSError, DecodeError, ValueError, KeyError) as error:
        raise UserError(
            f"--feature_weights={path}: expected classify_image_graph_def.pb of "
            f"inception-2015-12-05.tgz ({in_one_line(error)})"
        ) from error

    def embed(images):
        pixels = tf.cast(images, tf.float32)
        pixels = tf.image.grayscale_to_rgb(pixels) if pixels.shape[-1] == 1 else pixels
        (found,) = network(pixels)
        return tf.reshape(found, [len(images), -1])

    return embed
