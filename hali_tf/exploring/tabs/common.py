"""What the tabs share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gradio as gr

from hali_tf.errors import UserError
from hali_tf.exploring.gradio_versions import BUTTONS
from serving.client import HaliClientError


class Follow(NamedTuple):
    """What is shown anew when another picture is chosen.

    Attributes:
      function: of `choosing.Chosen`; returns a value for each output.
      outputs: components.
    """

    function: Callable[..., Any]
    outputs: Sequence[gr.components.Component]


def said(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function (or generator) with what a user can correct said on the page."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generate(*arguments):
            try:
                yield from function(*arguments)
            except (UserError, HaliClientError) as error:
                raise gr.Error(str(error)) from error

        return generate

    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        except (UserError, HaliClientError) as error:
            raise gr.Error(str(error)) from error

    return call


def picture(label: str, **more: Any) -> gr.Image:
    """A place for a picture that the page shows."""
    return gr.Image(label=label, format="png", interactive=False, type="pil", **BUTTONS, **more)
