"""The images that a training left in its TensorBoard logs."""

from __future__ import annotations

import io
import os

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hali_tf import files
from hali_tf.errors import UserError


def read(run_dir: str, tag: str) -> dict[int, Image.Image]:
    """Returns the pictures of a tag by step, in the order of the steps.

    Raises:
      UserError: there are none.
    """
    folder = os.path.join(run_dir, "logs")
    events = EventAccumulator(folder, size_guidance={"tensors": 0})  # all of them
    if not files.is_folder(folder) or tag not in events.Reload().Tags()["tensors"]:
        raise UserError(
            f"{folder}: has no images {tag}; expected what TensorBoard shows of a training that "
            "reached its first evaluation"
        )
    # A summary of images holds width, height, and each image as PNG.
    pictures = {
        event.step: Image.open(io.BytesIO(event.tensor_proto.string_val[2]))
        for event in events.Tensors(tag)
    }
    return dict(sorted(pictures.items()))
