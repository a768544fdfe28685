"""Sample: a grid of images of the model; a click takes one to the other tabs."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr
import numpy as np

from hali_tf.errors import UserError
from hali_tf.exploring import views
from hali_tf.exploring.shown import shown
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs.common import said

_COUNT, _COLUMNS = 24, 8
_ANY = "any"
_HELP = "The same seed gives the same images. Click one to take it to the other tabs."


def add(subject: Subject, take: Callable[..., None]) -> None:
    """Lays out the tab.

    Args:
      subject: what is explored.
      take: called with an event, the function of it that finds the image, and its inputs.
    """
    labels = list(subject.labels)
    gr.Markdown(_HELP)
    with gr.Row():
        seed = gr.Number(0, label="seed", precision=0, minimum=0)
        label = gr.Dropdown([_ANY, *labels], value=_ANY, label="label", visible=bool(labels))
        button = gr.Button("Sample", variant="primary")
    drawn = gr.State()
    grid = gr.Gallery(
        label="samples", columns=_COLUMNS, allow_preview=False, format="png", elem_id="samples"
    )

    @said
    def draw(seed: float | None, label: str) -> tuple[list[str], np.ndarray]:
        if seed is None:
            raise UserError("the seed is empty; enter a whole number from 0 on")
        number = labels.index(label) if label in labels else None
        images = views.sample(subject.coder, int(seed), _COUNT, number)
        return [shown(image) for image in images], images

    def clicked(images: np.ndarray, event: gr.SelectData) -> tuple[np.ndarray, str]:
        return images[event.index], f"Sample {event.index + 1} of the grid."

    gr.on([button.click, seed.submit], draw, [seed, label], [grid, drawn], api_name="sample")
    take(grid.select, clicked, [drawn])
