"""What Gradio 4 (on Python 3.9) and Gradio 6 take under other names."""

from __future__ import annotations

from typing import Any

import gradio as gr

_STYLE = {
    "theme": gr.themes.Default(
        font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
    ),
    "css": """
footer { display: none !important }
img { image-rendering: pixelated }
.picture .image-container { box-sizing: border-box; padding-top: 28px }
.offered .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important;
  grid-auto-rows: auto !important; grid-template-rows: none !important }
.grid-container { padding-top: 24px !important }
.offered .gallery-item { min-width: 0 }
.offered .thumbnail-item { aspect-ratio: 1; height: auto !important; width: 100% !important }
""",
}
_FOUR = gr.__version__.startswith("4.")

# Arguments of pictures and galleries: no button that would send them to a public site.
BUTTONS: dict[str, Any] = {"show_share_button": False} if _FOUR else {"buttons": ["download"]}
# Arguments of errors that the page says: no traceback in the terminal.
ERROR: dict[str, Any] = {} if _FOUR else {"print_exception": False}
BLOCKS: dict[str, Any] = _STYLE if _FOUR else {}
LAUNCH: dict[str, Any] = {"show_api": False} if _FOUR else {**_STYLE, "footer_links": []}
