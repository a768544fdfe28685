"""The attribute classifier that the user named by --attribute_classifier."""

from __future__ import annotations

from typing import Any

from hali_tf.attributes import classifier as classifiers
from hali_tf.errors import UserError
from hali_tf.evaluation.context import Context


def load(context: Context) -> classifiers.AttributeClassifier:
    """The classifier of the evaluation.

    Raises:
      UserError: it is damaged, or of other attributes or images than the data.
    """
    classifier = classifiers.load(context.classifier_dir)
    for what, own, expected in (
        ("attributes", classifier.names, context.source.label_names or ()),
        ("images", classifier.image_shape, context.source.image_shape),
    ):
        if tuple(own) != tuple(expected):
            raise UserError(
                f"--attribute_classifier={context.classifier_dir}: its {what} are "
                f"{_short(own)}, those of {context.source.name} are {_short(expected)}; train one "
                "on the data of the run, at its --image_size"
            )
    return classifier


def inputs(context: Context) -> dict[str, Any]:
    """Which classifier it is and when it was made, for `Question.inputs`."""
    folder = context.classifier_dir
    return {"classifier": classifiers.identity(folder) if folder else None}


def _short(values):
    text = ", ".join(map(str, values))
    return f"({text})" if len(text) < 60 else f"({text[:60]}...: {len(values)})"
