"""Interpolate: the way from the picture to a second one, in the latents of each level."""

from __future__ import annotations

import gradio as gr
import numpy as np

from hali_tf.drawing import films
from hali_tf.exploring import choosing, views
from hali_tf.exploring.choosing import Chosen
from hali_tf.exploring.shown import enlarged, new_path, shown
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs.common import UNLISTED, Follow, gallery, picture, said

_HELP = (
    "From the picture to the second one, in the latents of each level; the films go there and back."
)


def add(subject: Subject, chosen: gr.State) -> Follow:
    """Lays out the tab."""
    levels = range(1, subject.coder.num_levels + 1)
    gr.Markdown(_HELP)
    second, frames = gr.State(subject.pictures[-1]), gr.State()
    with gr.Row():
        start = picture("from")
        between = [picture(f"level {l}") for l in levels]
        end = picture("to")
    way = gr.Slider(0, 100, 50, step=100 / (views.FRAMES - 1), label="% of the way")
    with gr.Row():
        with gr.Column():
            upload = gr.File(label="drop a second picture", type="filepath", height=140)
            offered = gallery(subject.pictures, "or take one of these", "seconds")
        moving = [picture(f"film, level {l}") for l in levels]

    def at(frames: list[np.ndarray], way: float) -> list:
        place = round(way / 100 * (views.FRAMES - 1))
        return [shown(of_level[place]) for of_level in frames]

    def follow(chosen: Chosen, second: np.ndarray, way: float) -> list:
        frames = views.interpolate(subject.coder, chosen.image, second)
        paths = []
        for level, of_level in zip(levels, frames):
            paths.append(new_path(f"level_{level}.gif"))
            films.save_gif(paths[-1], films.there_and_back(list(map(enlarged, of_level))))
        return [frames, shown(chosen.image), *at(frames, way), shown(second), *paths]

    def clicked(event: gr.SelectData) -> np.ndarray:
        return subject.pictures[event.index]

    def dropped(path: str) -> np.ndarray:
        image, words = choosing.read(subject, path)
        gr.Info(words)
        return image

    outputs = [frames, start, *between, end, *moving]
    steps = [
        offered.select(clicked, None, second, api_name=UNLISTED),
        upload.upload(said(dropped), upload, second, api_name="second"),
    ]
    for step in steps:
        step.success(said(follow), [chosen, second, way], outputs, api_name=UNLISTED)
    way.input(
        at, [frames, way], between,
        trigger_mode="always_last", show_progress="hidden", api_name="interpolate",
    )  # fmt: skip
    return Follow("ways", follow, outputs, [second, way])
