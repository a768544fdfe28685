"""report.md: all answers of an evaluation in one page; and its pictures in TensorBoard."""

import os
import re

import numpy as np
import tensorflow as tf
from PIL import Image

from hali_tf.evaluation import registry
from hali_tf.evaluation.report import markdown
from hali_tf.files import write_text


def write_report(context, texts, missing):
    """Writes report.md.

    Args:
      context: `context.Context`.
      texts: dict of question to its Markdown, in the order of the page.
      missing: dict of question to why it has no answer.
    """
    models = markdown.table(
        ["model", "run", "architecture", "width", "step"],
        [
            [s.name, s.run_dir, s.config.model.architecture, str(s.config.model.width), s.step]
            for s in context.subjects
        ],
    )
    limit = f", at most {context.limit:,} of a split" if context.limit else ""
    data = f"Data: {context.source.name}, {'x'.join(map(str, context.source.image_shape))}{limit}."
    parts = [f"# Evaluation of {context.subject.run_dir}", models, data]
    for name, text in texts.items():
        parts += [f"## {registry.module(name).TITLE}", text]
    if missing:
        parts.append("## Not answered")
        parts.append("\n".join(f"- {name}: {reason}" for name, reason in missing.items()))
    write_text(context.path("report.md"), "\n\n".join(parts) + "\n")


def first_paragraph(text):
    """The result in a sentence or two."""
    return text.partition("\n\n")[0]


def show_in_tensorboard(context, text):
    """Adds the pictures that Markdown refers to to the run's logs, at the checkpoint's step."""
    writer = tf.summary.create_file_writer(os.path.join(context.subject.run_dir, "logs"))
    with writer.as_default(step=context.subject.step):
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+\.png)\)", text):
            with Image.open(context.path(name)) as picture:
                image = np.asarray(picture.convert("RGB"))
            tf.summary.image(f"evaluation/{name[: -len('.png')]}", image[np.newaxis])
    writer.close()
