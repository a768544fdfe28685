"""The attribute classifiers that the user named by --attribute_classifier."""

from __future__ import annotations

import functools
from typing import Any

from hali_tf.attributes import classifier as classifiers
from hali_tf.attributes import folder as folders
from hali_tf.errors import UserError
from hali_tf.evaluation.context import Context


def load_all(context: Context) -> dict[str, classifiers.AttributeClassifier]:
    """The classifiers of the evaluation, by what they were trained on.

    Raises:
      UserError: one is damaged, or of other attributes or images than the data.
    """
    found: dict[str, classifiers.AttributeClassifier] = {}
    for folder in context.classifier_dirs:
        classifier = _loaded(folder, str(folders.identity(folder)))
        for what, own, expected in (
            ("attributes", classifier.names, context.source.label_names or ()),
            ("images", classifier.image_shape, context.source.image_shape),
        ):
            if tuple(own) != tuple(expected):
                raise UserError(
                    f"--attribute_classifier={folder}: its {what} are {_short(own)}, those of "
                    f"{context.source.name} are {_short(expected)}; train one on the data of the "
                    "run, at its --image_size"
                )
        name = "clean and degraded images" if classifier.degraded else "clean images"
        found[name if name not in found else f"{name} ({folder})"] = classifier
    return found


def inputs(context: Context) -> dict[str, Any]:
    """Which classifiers there are and when they were made, for `Question.inputs`.

    Raises:
      UserError: as `load_all`, where the data have attributes.
    """
    if context.source.multi_label:
        load_all(context)
    return {"classifiers": [folders.identity(folder) for folder in context.classifier_dirs]}


@functools.lru_cache(maxsize=4)  # several questions ask them
def _loaded(folder, identity):
    """Another one that was trained in the same folder has another identity."""
    return folders.load(folder)


def _short(values):
    text = ", ".join(map(str, values))
    return f"({text})" if len(text) < 60 else f"({text[:60]}...: {len(values)})"
