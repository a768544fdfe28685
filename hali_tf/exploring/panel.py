"""The side of the page: the chosen picture, and the ways to choose another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
import numpy as np

from hali_tf.exploring import choosing
from hali_tf.exploring.shown import shown
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs.common import Follow, gallery, picture, said


class Panel:
    """The chosen picture and the pictures to choose from.

    Attributes:
      chosen: state, `choosing.Chosen`.
    """

    def __init__(self, subject: Subject):
        """Lays it out."""
        self._subject = subject
        self._steps: list[gr.events.Dependency] = []
        self.chosen = gr.State()
        self._shown = picture("picture", height=280)
        self._note = gr.Markdown()
        upload = gr.File(label="drop a picture", type="filepath", height=140)
        offered = gallery(subject.pictures, "or take one of these", "offered")
        self.take(upload.upload, lambda path: choosing.read(subject, path), [upload], "choose")
        self.take(offered.select, self._offered)

    def _offered(self, event: gr.SelectData) -> tuple[np.ndarray, str]:
        return self._subject.pictures[event.index], f"Picture {event.index + 1} of those below."

    def first(self, page: gr.Blocks) -> None:
        """Chooses the first picture when the page is loaded."""
        self.take(page.load, lambda: (self._subject.pictures[0], "Picture 1 of those below."))

    def take(
        self, event: Callable, find: Callable, inputs: Iterable = (), api_name: Any = False
    ) -> None:
        """Makes an event choose a picture.

        Args:
          event: of a component, such as its `select`.
          find: returns the picture, uint8 [H, W, C], and a sentence about it.
          inputs: components whose values `find` takes.
          api_name: of the step, for calls without a browser.
        """

        @functools.wraps(find)
        def choose(*arguments):
            image, note = find(*arguments)
            return choosing.choose(self._subject, image), shown(image), note

        outputs = [self.chosen, self._shown, self._note]
        self._steps.append(event(said(choose), list(inputs), outputs, api_name=api_name))

    def followed_by(self, follows: Iterable[Follow]) -> None:
        """Shows the chosen picture in the tabs, after all events of `take`."""
        for number, step in enumerate(self._steps):
            for follow in follows:
                step.success(
                    said(follow.function),
                    [self.chosen, *follow.inputs],
                    list(follow.outputs),
                    api_name=False if number else follow.name,
                )
