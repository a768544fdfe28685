"""Classify: the scores of the classes, or attributes, as bars."""

from __future__ import annotations

import gradio as gr
import numpy as np

from hali_tf.exploring.choosing import Chosen
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs.common import Follow

_SHOWN = 10


def add(subject: Subject) -> Follow:
    """Lays out the tab."""
    classify = subject.classify
    if classify is None:
        gr.Markdown(
            "There is nothing to classify by: the run's data have no labels, or the served model "
            "was exported without `classify`."
        )
        return Follow("classify", lambda chosen: [], [])
    gr.Markdown(
        "The probability of each class, or attribute: by the model's own label where it has one, "
        "or else by a linear classifier on the latents of all levels."
    )
    bars = gr.Label(label="scores", num_top_classes=_SHOWN, elem_id="scores")

    def follow(chosen: Chosen) -> dict[str, float]:
        names, scores = classify(chosen.image[np.newaxis])
        return {str(name): float(score) for name, score in zip(names, scores[0])}

    return Follow("classify", follow, [bars])
