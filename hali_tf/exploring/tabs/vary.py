"""Traverse and innovate: sliders on single components of the picture's latents."""

from __future__ import annotations

import gradio as gr
import numpy as np

from hali_tf.drawing import grids
from hali_tf.exploring import views
from hali_tf.exploring.choosing import Chosen
from hali_tf.exploring.shown import enlarged, new_path, shown
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs.common import Follow, picture, said

_ENTRIES, _MAPS = 6, 4  # sliders
_END = 4.0  # of the sliders
_KEEP, _TOP_ALONE = "innovate: keep the picture's details", "traverse: decode from the top level"
_HELP = """\
An entry of the top level starts at the picture's own value and is set to another; between -2 and 2
all are common. A map of z_1 is multiplied. The components are those that change pictures most, and
those that the evaluation gave a name."""


class _Sliders:
    """The components, and what the values of their sliders mean for a picture."""

    def __init__(self, subject: Subject):
        self._subject, self._coder = subject, subject.coder
        self._top = top = subject.coder.num_levels
        vector = len(subject.coder.latent_shapes[-1]) == 1
        self._entries = subject.strongest(top, _ENTRIES) if vector else []
        self._maps = subject.strongest(1, _MAPS) if top > 1 or not vector else []

    def place(self) -> list[gr.Slider]:
        """Lays them out, entries beside maps."""
        name, placed = self._subject.component, []
        entries = [name(self._top, k) for k in self._entries]
        maps = [f"{name(1, k)} ×" for k in self._maps]
        for start, labels in enumerate((entries, maps)):
            with gr.Column(min_width=200):
                placed += [gr.Slider(-_END, _END, start, step=0.01, label=l) for l in labels]
        return placed

    def start(self, chosen: Chosen) -> list[float]:
        """Where they stand for a picture as it is."""
        own = [round(float(chosen.zs[-1][0, k].clip(-_END, _END)), 2) for k in self._entries]
        return own + [1.0] * len(self._maps)

    def view(self, chosen: Chosen, keep_details: bool, values: tuple[float, ...]) -> np.ndarray:
        """The picture, uint8 [H, W, C], with the components that were moved."""
        moved = [
            (i, value)
            for i, (value, own) in enumerate(zip(values, self.start(chosen)))
            if abs(value - own) > 0.005
        ]
        count = len(self._entries)
        entries = {self._entries[i]: value for i, value in moved if i < count}
        maps = {self._maps[i - count]: value for i, value in moved if i >= count}
        return views.vary(self._coder, chosen.zs, entries, maps, keep_details)


def add(subject: Subject, chosen: gr.State) -> Follow:
    """Lays out the tab."""
    sliders = _Sliders(subject)
    gr.Markdown(_HELP)
    with gr.Row():
        with gr.Column(scale=3):
            with gr.Row():
                original, changed = picture("original"), picture("changed")
            ways = gr.Radio(
                [_KEEP, _TOP_ALONE], value=_KEEP, label="way", visible=subject.coder.num_levels > 1
            )
            with gr.Row():
                reset, save = gr.Button("Reset"), gr.Button("Save")
            saved = gr.File(label="saved", visible=False)
        with gr.Column(scale=4), gr.Row():
            placed = sliders.place()

    @said
    def view(chosen: Chosen, way: str, *values: float) -> str:
        return shown(sliders.view(chosen, way == _KEEP, values))

    @said
    def keep(chosen: Chosen, way: str, *values: float) -> dict:
        path = new_path("changed.png")
        grids.save_picture(path, enlarged(sliders.view(chosen, way == _KEEP, values)))
        return gr.update(value=path, visible=True)

    def start(chosen: Chosen) -> list:
        return [shown(sliders.view(chosen, True, ())), _KEEP, *sliders.start(chosen)]

    inputs = [chosen, ways, *placed]
    gr.on(
        [ways.input, *(slider.input for slider in placed)],
        view,
        inputs,
        changed,
        trigger_mode="always_last",
        show_progress="hidden",
        api_name="vary",
    )
    reset.click(said(start), chosen, [changed, ways, *placed], api_name="reset")
    save.click(keep, inputs, saved, api_name="save")
    return Follow(
        "start",
        lambda chosen: [shown(chosen.image), *start(chosen)],
        [original, changed, ways, *placed],
    )
