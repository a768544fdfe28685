"""All tabs on one page, and the server of the page."""

from __future__ import annotations

import urllib.parse

import gradio as gr
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

from hali_tf.exploring import views
from hali_tf.exploring.gradio_versions import BLOCKS, LAUNCH
from hali_tf.exploring.panel import Panel
from hali_tf.exploring.subject import Subject
from hali_tf.exploring.tabs import classify, inpaint, interpolate, reconstruct, sample, vary

# The browser asks no other host, whatever Gradio's own page refers to, and no other page frames it.
_POLICY = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'"
_HOSTS = ["localhost", "127.0.0.1"]  # other sites may give their names this address
_LARGEST_FILE = "20mb"


def build(subject: Subject) -> gr.Blocks:
    """The page of a subject."""
    views.reconstruct(subject.coder, subject.pictures[0])  # traced before anybody waits for it
    with gr.Blocks(title="hali_tf", analytics_enabled=False, **BLOCKS) as page:
        gr.Markdown(f"## {subject.name}")
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                panel = Panel(subject)
            with gr.Column(scale=4), gr.Tabs():
                follows = _tabs(subject, panel)
        panel.first(page)
        panel.followed_by(follows)
    return page


def _tabs(subject, panel):
    """Lays out the tabs; returns what follows from the chosen picture."""
    follows = []
    with gr.Tab("Reconstruct"):
        follows.append(reconstruct.add(subject))
    with gr.Tab("Inpaint") as tab:
        follows.append(inpaint.add(subject, panel.chosen, tab))
    with gr.Tab("Traverse"):
        follows.append(vary.add(subject, panel.chosen))
    with gr.Tab("Interpolate"):
        follows.append(interpolate.add(subject, panel.chosen))
    with gr.Tab("Sample"):
        sample.add(subject, panel.take)
    with gr.Tab("Classify"):
        follows.append(classify.add(subject))
    return follows


def launch(page: gr.Blocks, port: int, browser: bool = False) -> str:
    """Serves a page at localhost, in threads of its own.

    Args:
      page: of `build`.
      port: to listen at; 0 for a free one.
      browser: whether to open it.

    Returns:
      Its address.

    Raises:
      OSError: the port is taken.
    """
    _, address, _ = page.launch(
        server_name="localhost",
        server_port=port or None,
        inbrowser=browser,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        max_file_size=_LARGEST_FILE,
        app_kwargs={
            "middleware": [
                Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS),
                Middleware(_OwnPagesOnly),
            ]
        },
        **LAUNCH,
    )
    return address


class _OwnPagesOnly:
    """Refuses what other sites' pages ask of an ASGI application, and adds `_POLICY` to answers."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        origin = headers.get("origin")
        if origin and urllib.parse.urlsplit(origin).netloc != headers.get("host"):
            refusal = PlainTextResponse("asked by a page of another site", 403)
            return await refusal(scope, receive, send)

        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                header = (b"content-security-policy", _POLICY)
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        await self._app(scope, receive, send_with_policy)
