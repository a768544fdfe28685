"""Inpaint: a part of the picture, painted over with a brush, predicted round by round."""

from __future__ import annotations

from collections.abc import Iterator

import gradio as gr

from hali_tf.exploring import views
from hali_tf.exploring.choosing import Chosen, mask_of
from hali_tf.exploring.shown import enlarged, shown
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs.common import UNLISTED, Follow, said

_PAINTED = "painted"
_HELP = """\
Paint over what is to be predicted, or choose a part, and press the button. The first rounds predict
it from the top level, the last ones from level 1."""


def add(subject: Subject, chosen: gr.State, tab: gr.Tab) -> Follow:
    """Lays out the tab."""
    side = enlarged(subject.pictures[0]).width
    gr.Markdown(_HELP)
    with gr.Row():
        editor = gr.ImageEditor(
            type="numpy",
            label="paint here",
            sources=(),
            transforms=(),
            layers=False,
            brush=gr.Brush(default_size=side // 8, colors=["#ff4040"], color_mode="fixed"),
            canvas_size=(side, side),
            format="png",
            elem_id="editor",
        )
        with gr.Column():
            part = gr.Radio(
                [_PAINTED, "centre", "right half", "lower half"], value=_PAINTED, label="part"
            )
            button = gr.Button("Predict", variant="primary")
    gallery = gr.Gallery(
        label="rounds", columns=5, object_fit="contain", format="png", elem_id="rounds"
    )

    @said
    def predict(chosen: Chosen, painting: dict | None, part: str) -> Iterator[list]:
        mask = mask_of(part, painting["layers"] if painting else [], subject.coder.image_shape[:2])
        rounds: list[tuple[str, str]] = []
        for caption, filled in views.inpaint(subject.coder, chosen.image, mask):
            rounds.append((shown(filled), caption))
            yield list(rounds)

    def clear(chosen: Chosen) -> str:
        return shown(chosen.image)

    tab.select(clear, chosen, editor, api_name=UNLISTED)  # it takes no picture while it is hidden
    button.click(predict, [chosen, editor, part], gallery, api_name="inpaint")
    return Follow("clear", lambda chosen: (clear(chosen), None), [editor, gallery])
