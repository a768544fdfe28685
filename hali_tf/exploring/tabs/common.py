"""What the tabs share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr
import numpy as np

from hali_tf.errors import UserError
from hali_tf.exploring.gradio_versions import BUTTONS, ERROR
from hali_tf.exploring.shown import shown
from serving.client import HaliClientError

UNLISTED: Any = False  # api_name of an event without a name; Gradio takes it, its types do not


class Follow(NamedTuple):
    """What is shown anew when another picture is chosen.

    Attributes:
      name: of the step, for calls without a browser.
      function: of `choosing.Chosen` and the values of `inputs`; returns a value for each output.
      outputs: components.
      inputs: components.
    """

    name: str
    function: Callable[..., Any]
    outputs: Sequence[gr.components.Component]
    inputs: Sequence[gr.components.Component] = ()


def said(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function (or generator) with what a user can correct said on the page."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(*arguments):
            try:
                yield from function(*arguments)
            except (UserError, HaliClientError) as error:
                raise gr.Error(str(error), **ERROR) from error

        return generate

    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        except (UserError, HaliClientError) as error:
            raise gr.Error(str(error), **ERROR) from error

    return call


def picture(label: str, **more: Any) -> gr.Image:
    """A place for a picture that the page shows."""
    return gr.Image(
        label=label, format="png", interactive=False, elem_classes="picture", **BUTTONS, **more
    )


def gallery(images: np.ndarray, label: str, name: str) -> gr.Gallery:
    """Images, uint8 [N, H, W, C], to choose from by a click; `name` is the element's."""
    return gr.Gallery(
        [shown(image) for image in images],
        label=label,
        columns=4,
        height="auto",
        allow_preview=False,
        format="png",
        elem_id=name,
        elem_classes="offered",
        **BUTTONS,
    )
