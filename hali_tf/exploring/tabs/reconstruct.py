"""Reconstruct: the picture beside its reconstruction from every level."""

from __future__ import annotations

import gradio as gr

from hali_tf.evaluation.report import markdown
from hali_tf.exploring import views
from hali_tf.exploring.choosing import Chosen
from hali_tf.exploring.shown import shown
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs.common import Follow, picture

_HELP = """\
Level 1 keeps the details. A higher level keeps the content and makes up the details. The error is
the RMSE on the scale 0 to 1."""


def add(subject: Subject) -> Follow:
    """Lays out the tab."""
    gr.Markdown(_HELP)
    with gr.Row():
        places = [picture("original")]
        places += [picture(f"level {l}") for l in range(1, subject.coder.num_levels + 1)]
    table = gr.Markdown()

    def follow(chosen: Chosen) -> list:
        rebuilt = views.reconstruct(subject.coder, chosen.image)
        images = [chosen.image, *(r.image for r in rebuilt)]
        rows = [
            [f"level {level}", f"{r.rmse:.4f}", f"{1000 * r.seconds:.0f} ms"]
            for level, r in enumerate(rebuilt, start=1)
        ]
        return [*map(shown, images), markdown.table(["", "error", "time"], rows)]

    return Follow("reconstruct", follow, [*places, table])
