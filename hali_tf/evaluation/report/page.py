"""report.md and report.html: all answers in one page; and their pictures in TensorBoard."""

from __future__ import annotations

import os
import re

import numpy as np
import tensorflow as tf
from PIL import Image

from hali_tf.errors import writing
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.report import markdown
from hali_tf.evaluation.report.html import write_html
from hali_tf.files import opened, write_text


def write_report(
    context: Context, summary: str, texts: dict[str, str], missing: dict[str, str]
) -> None:
    """Writes report.md, and the same as report.html.

    Args:
      context: the evaluation.
      summary: the first section, without its heading; "" for none.
      texts: title of each question that has an answer to its report, in the order of the page.
      missing: name of each other question to why it has no answer.

    Raises:
      UserError: a file cannot be written.
    """
    models = markdown.table(
        ["model", "run", "architecture", "width", "step"],
        [
            [s.name, s.run_dir, s.config.model.architecture, str(s.config.model.width), s.step]
            for s in context.subjects
        ],
    )
    limit = f", at most {context.limit:,} of a split" if context.limit else ""
    sections = [markdown.page(f"## {title}", text) for title, text in texts.items()]
    if missing:
        reasons = "\n".join(f"- {name}: {reason}" for name, reason in missing.items())
        sections.append(f"## Not answered\n\n{reasons}")
    page = markdown.page(
        f"# Evaluation of {context.subject.run_dir}",
        models,
        f"Data: {context.source.name}, {'x'.join(map(str, context.source.image_shape))}{limit}.",
        summary and f"## Summary\n\n{summary}",
        *sections,
    )
    with writing(context.folder):
        write_text(context.path("report.md"), page + "\n")
        write_html(context.path("report.html"), page)


def first_paragraph(text: str) -> str:
    """The result in a sentence or two."""
    return text.partition("\n\n")[0]


def pictures(text: str) -> list[str]:
    """Names of the pictures that a Markdown text shows."""
    return re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", text)


def show_in_tensorboard(context: Context, text: str) -> None:
    """Adds the pictures of a Markdown text to the run's logs, at the step of the checkpoint.

    Raises:
      OSError: a file cannot be read or written.
    """
    logs = os.path.join(context.subject.run_dir, "logs")
    try:
        writer = tf.summary.create_file_writer(logs)
        with writer.as_default(step=context.subject.step):
            for name in pictures(text):
                with opened(context.path(name), "rb") as file, Image.open(file) as picture:
                    image = np.asarray(picture.convert("RGB"))
                tf.summary.image(f"evaluation/{name[: -len('.png')]}", image[np.newaxis])
        writer.close()
    except tf.errors.OpError as error:
        raise OSError(f"{logs}: cannot be written ({error.message})") from error
