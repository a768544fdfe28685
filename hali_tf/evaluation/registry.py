"""The questions of an evaluation, in the paper's order."""

import importlib

# Name in --only: module of this package.
QUESTIONS = (
    "reconstruction",
    "perceptual",
    "attributes",
    "inpainting",
    "traversal",
    "innovation",
    "representation",
    "labels",
    "samples",
)


def module(name):
    """The module of a question."""
    return importlib.import_module(f"hali_tf.evaluation.{name}")
