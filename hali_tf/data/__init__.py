"""Image sets: a name becomes decoded uint8 images, and those become batches."""

from hali_tf.data.labelled import (
    count_classes,
    draw_labelled,
    learned_names,
    semi_supervised_batches,
)
from hali_tf.data.pipeline import Share, batches, train_batches
from hali_tf.data.registry import open_source
from hali_tf.data.source import SPLITS, Source, Split

__all__ = [
    "SPLITS",
    "Share",
    "Source",
    "Split",
    "batches",
    "count_classes",
    "draw_labelled",
    "learned_names",
    "open_source",
    "semi_supervised_batches",
    "train_batches",
]
