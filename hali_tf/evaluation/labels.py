"""MNIST with 100 labels, and its like (paper, section 7.2, Table 3): errors of the model's own y."""

import os
import textwrap

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from hali_tf.drawing.strips import save_strips
from hali_tf.evaluation.report import markdown, published
from hali_tf.files import replacing
from hali_tf.layers import random
from hali_tf.measures.labels import confusion
from hali_tf.runs.metrics_file import read

TITLE = "Few labels (section 7.2)"

_COLUMNS = 10  # of the pictures


def conditional_samples(model, seed=0):
    """A row for each y, a column for each draw of z_L, decoded by the means of the levels.

    Returns:
      uint8 [K, N, H, W, C].
    """
    z = random.normal([_COLUMNS, _style_size(model)], [seed, 0])
    return _with_every_label(model, z)


def style_transfer(model, images):
    """A row for each image: itself, then its z_L decoded with each y.

    Args:
      images: uint8 [N, H, W, C].

    Returns:
      uint8 [N, 1 + K, H, W, C].
    """
    z = model.encode(images)[-1].mean[:, : _style_size(model)]
    return np.stack([images, *_with_every_label(model, z)], axis=1)


def _style_size(model):
    """d, the entries of z_L without y."""
    return model.latent_shapes[-1][0] - model.architecture.classes


def _with_every_label(model, z):
    """z_L, float32 [N, d], decoded with each y: uint8 [K, N, H, W, C]."""
    labels = tf.eye(model.architecture.classes)
    return np.stack(
        [model.decode(tf.concat([z, tf.tile([y], [len(z), 1])], axis=-1)).numpy() for y in labels]
    )


def unanswerable(context):
    """Why errors cannot be counted, or None."""
    if not context.subject.config.labels.per_class:
        return "the run learned from no labels (--labels_per_class)"
    return None


def answer(context):
    """Errors on the test images of each run that learned from labels, and pictures of the first."""
    test = context.split("test")
    runs = [_measure(s, test) for s in context.subjects if s.config.labels.per_class]
    subject = context.subject
    names = context.source.label_names or tuple(map(str, range(subject.config.labels.classes)))
    _save_confusion(context.path("confusion.png"), np.array(runs[0]["confusion"]), names)
    _save_curves(context.path("label_errors.png"), runs)
    if not subject.config.labels.encoder_only:  # that one decodes nothing
        samples = conditional_samples(subject.model, context.seed)
        save_strips(context.path("conditional_samples.png"), samples, [""] * _COLUMNS, names)
        rows, shown = style_transfer(subject.model, test.images[:_COLUMNS]), test.labels[:_COLUMNS]
        save_strips(
            context.path("style_transfer.png"), rows, ["image", *names], [names[i] for i in shown]
        )
    of_table_3 = ("mnist", 100, 10000)
    return {
        "images": len(test.images),
        "runs": runs,
        "pictures": not subject.config.labels.encoder_only,
        "published": (subject.config.data.name, runs[0]["labels"], len(test.images)) == of_table_3,
    }


def _measure(subject, test):
    counts = confusion(subject.model, test)
    lines = read(os.path.join(subject.run_dir, "metrics.jsonl"))
    return {
        "name": subject.name,
        "run": subject.run_dir,
        "settings": settings_in_words(subject.config),
        "labels": subject.config.labels.classes * subject.config.labels.per_class,
        "seed": subject.config.run.seed,
        "step": subject.step,
        "errors": int(counts.sum() - np.trace(counts)),
        "confusion": counts.tolist(),
        "curve": [
            [line["step"], line["label_errors"] / line["label_images"]]
            for line in lines
            if "label_errors" in line
        ],
    }


def settings_in_words(config):
    """What a run learned its labels by."""
    words = []
    if config.labels.weight != 1:
        words.append(f"label weight {config.labels.weight:g}")
    if config.labels.consistency:
        words.append(f"consistency {config.labels.consistency:g}")
    if config.labels.cycle and not config.labels.encoder_only:
        words.append(f"labels of generated images with weight {config.labels.cycle:g}")
    if config.labels.encoder_only:
        words = ["the same encoder alone", *words]
    else:
        words = [config.model.kind.upper(), *(words or ["the paper's objective"])]
    moves = [f"shifted by up to {config.labels.shift} px"] if config.labels.shift else []
    moves += [f"warped by up to {config.labels.warp:g}"] if config.labels.warp else []
    return ", ".join(words + (["labelled images " + " and ".join(moves)] if moves else []))


def _save_confusion(path, counts, names):
    """Writes `confusion` as PNG, its errors coloured."""
    size = 2 + 0.4 * len(names)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    errors = counts - np.diag(np.diag(counts))
    axes.imshow(errors, cmap="Reds", vmax=1.5 * max(1, errors.max()))  # texts stay legible
    for row, column in zip(*np.nonzero(counts)):
        axes.text(column, row, counts[row, column], ha="center", va="center", fontsize=8)
    axes.set(xlabel="taken for", ylabel="class")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def _by_way_to_learn(runs):
    """Runs of equal settings and as many labels together: (settings, labels) to runs, in order."""
    groups = {}
    for run in runs:
        groups.setdefault((run["settings"], run["labels"]), []).append(run)
    return groups


def _save_curves(path, runs):
    """Writes validation errors over the steps as PNG: a curve a run, a colour a way to learn."""
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    for number, ((words, labels), alike) in enumerate(_by_way_to_learn(runs).items()):
        label = textwrap.fill(f"{labels} labels: {words}", 70)
        for run in alike:
            steps, shares = np.reshape(run["curve"], [-1, 2]).T
            axes.plot(steps, 100 * shares, marker=".", color=f"C{number}", label=label)
            label = None  # one entry of the legend for all of them
    axes.set(xlabel="step", ylabel="validation errors, %", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    axes.grid(which="both", alpha=0.3)
    figure.legend(loc="outside upper center", fontsize="small")
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def report(answer):
    """Markdown."""
    images, own = answer["images"], answer["runs"][0]
    words = (
        f"{own['name']} errs on {own['errors']} of {images:,} test images "
        f"({100 * own['errors'] / images:.2f} %) with {own['labels']} labels."
    )
    if answer["published"]:
        words += f" The paper has {published.mnist_100_labels()['HALI']['errors']}."
    parts = [
        words,
        "The class is the largest q(y | x) of the averaged encoder. Only the labels of labelled.json "
        "were used; the validation errors below are shown, and chose nothing.",
        markdown.table(["", "labels", "runs", "errors", "deviation", "errors, %"], _rows(answer)),
        markdown.table(
            ["run", "seed", "step", "errors"],
            [[run["run"], run["seed"], run["step"], run["errors"]] for run in answer["runs"]],
        ),
    ]
    if answer["published"]:
        parts.append(f"The rows with a source are {published.source('mnist_100_labels')}.")
    parts.append("![Which class was taken for which](confusion.png)")
    parts.append("![Validation errors over the steps](label_errors.png)")
    if answer["pictures"]:
        parts.append("Samples, a row for each y, a column for each draw of z:")
        parts.append("![Samples by label](conditional_samples.png)")
        parts.append("Test images, and beside each its z with every y:")
        parts.append("![Style kept, label changed](style_transfer.png)")
    return "\n\n".join(parts)


def _rows(answer):
    """A row for each way to learn, over its runs; then the published ones."""
    groups = {
        way: [run["errors"] for run in alike]
        for way, alike in _by_way_to_learn(answer["runs"]).items()
    }
    rows = [
        [
            words,
            labels,
            len(errors),
            float(np.mean(errors)),
            float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
            100 * float(np.mean(errors)) / answer["images"],
        ]
        for (words, labels), errors in groups.items()
    ]
    if answer["published"]:
        rows += [
            [f"{name} ({row['from']})", 100, None, row["errors"], row["std"], row["errors"] / 100]
            for name, row in published.mnist_100_labels().items()
        ]
    return rows
