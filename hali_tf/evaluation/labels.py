"""Few labels, as MNIST with 100 (paper, section 7.2, Table 3): errors of the model's own y."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import numpy as np
from matplotlib.ticker import LogFormatter

from hali_tf.config import Config
from hali_tf.data import learned_names
from hali_tf.drawing import plots
from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation.claims import Finding, above
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown, published
from hali_tf.layers import random
from hali_tf.measures import intervals, scores
from hali_tf.measures.labels import confusion, errors_of
from hali_tf.models.coder import Coder
from hali_tf.runs.metrics_file import read_run

_COLUMNS = 10  # of the pictures
_METHOD = """\
The class is the largest q(y | x) of the averaged encoder. In training only the labels of
labelled.json were used; the validation errors below chose no checkpoint. Whether validation labels
chose the settings is not known here: those of `configs/mnist_100.cfg` were in part chosen so, see
docs/mnist_100.md. A row is of runs whose flags are equal but for the seed, which also draws the
labelled images. In brackets 95 % intervals: of the mean over runs (Student's t), and of a single
run by the bootstrap over images. Of two trainings with one seed the first counts. The published
numbers count as exact."""


class Labels(Question):
    """How many test images each encoder assigns to a wrong class."""

    title = "Few labels (section 7.2)"
    claims = {
        "others": "With 100 labels of MNIST it makes fewer errors than all other methods of Table 3"
    }

    decodes = False

    def unanswerable(self, context: Context) -> str | None:
        """A run that learned from no labels, or test images without any."""
        if not context.subject.config.labels.per_class:
            return "the run learned from no labels (--labels_per_class)"
        if context.split("test").labels is None:
            return "the data has no labels in its test split"
        return None

    def inputs(self, context: Context) -> dict:
        """How far each course goes: `metrics.jsonl` grows where a run is trained further."""
        return {"courses": [len(read_run(subject.run_dir)) for subject in context.subjects]}

    def answer(self, context: Context) -> dict:
        """Errors on the test images of each run that learned from labels; pictures of the first."""
        test, own = context.split("test"), context.subject
        names = learned_names(context.source, own.config.labels.classes)
        runs = [_measure(s, test) for s in context.subjects if s.config.labels.per_class]
        plots.save_confusion(context.path("confusion.png"), np.array(runs[0]["confusion"]), names)
        _save_curves(context.path("label_errors.png"), runs)
        if not own.config.labels.encoder_only:  # which has no decoder to draw with
            samples = conditional_samples(own.coder, len(names))
            headings = [""] * _COLUMNS
            save_strips(context.path("conditional_samples.png"), Strips(samples, headings, names))
            pictured = test.part(_COLUMNS)
            rows = style_transfer(own.coder, len(names), pictured.images)
            labels = [names[i] for i in np.asarray(pictured.labels)]
            save_strips(context.path("style_transfer.png"), Strips(rows, ["image", *names], labels))
        of_table_3 = ("tfds:mnist", 100, 10000)
        return {
            "images": len(test.images),
            "runs": runs,
            "pictures": not own.config.labels.encoder_only,
            "published": (context.source.name, runs[0]["labels"], len(test.images)) == of_table_3,
        }

    def report(self, answer: dict) -> str:
        """The result in words, the tables, the pictures."""
        paper = answer["published"]
        return markdown.page(
            _result(answer),
            _METHOD,
            markdown.table(
                ["", "labels", "runs", "errors", "deviation", "errors, %"], _rows(answer)
            ),
            markdown.table(
                ["run", "seed", "step", "errors"],
                [
                    [
                        run["run"],
                        run["seed"],
                        run["step"],
                        markdown.with_interval(run["errors"], run["interval"], ".0f"),
                    ]
                    for run in answer["runs"]
                ],
            ),
            f"The rows with a source are {published.source('mnist_100_labels')}." if paper else "",
            "![Which class was taken for which](confusion.png)",
            "![Validation errors over the steps](label_errors.png)",
            *(_PICTURES if answer["pictures"] else ()),
        )

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the mean of the runs like the first one; of a single run by its images."""
        if not answer["published"]:
            return {}
        alike = next(iter(_by_configuration(answer["runs"]).values()))
        errors, ends = _errors_of(alike)
        others = {
            name: row["errors"]
            for name, row in published.mnist_100_labels().items()
            if name != "HALI"
        }
        best = min(others, key=lambda name: others[name])
        figure = f"{np.mean(errors):.4g} of {len(errors)} runs, and {others[best]:.4g} of {best}"
        return {"others": above(figure, [others[best] - end for end in reversed(ends)])}


_PICTURES = (
    "Samples, one row for each y, one column for each draw of z:",
    "![Samples by label](conditional_samples.png)",
    "Test images, and beside each its z with every y:",
    "![Style kept, label changed](style_transfer.png)",
)


def conditional_samples(coder: Coder, classes: int) -> np.ndarray:
    """One row for each y, one column for each draw of z_L, decoded by the means of the levels.

    Args:
      coder: of a model whose top latent is [z_L, y].
      classes: K.

    Returns:
      uint8 [K, N, H, W, C].
    """
    z = random.normal([_COLUMNS, _style_size(coder, classes)], [0, 0])
    return _with_every_label(coder, classes, z)


def style_transfer(coder: Coder, classes: int, images: np.ndarray) -> np.ndarray:
    """One row for each image: itself, then its z_L decoded with each y.

    Args:
      coder: of a model whose top latent is [z_L, y].
      classes: K.
      images: uint8 [N, H, W, C].

    Returns:
      uint8 [N, 1 + K, H, W, C].
    """
    z = coder.encode(images)[-1][:, : _style_size(coder, classes)]
    return np.stack([images, *_with_every_label(coder, classes, z)], axis=1)


def _style_size(coder, classes):
    """d, the entries of z_L without y."""
    return coder.latent_shapes[-1][0] - classes


def _with_every_label(coder, classes, z):
    """z_L, float32 [N, d], decoded with each y: uint8 [K, N, H, W, C]."""
    labels = np.eye(classes, dtype=np.float32)
    return np.stack(
        [
            coder.decode(np.concatenate([z, np.tile(y, (len(z), 1))], axis=-1), coder.num_levels)
            for y in labels
        ]
    )


def _measure(subject, test):
    counts = confusion(subject.coder, subject.config.labels.classes, test)
    errors, images = errors_of(counts), counts.sum()
    wrong = np.repeat([1, 0], [errors, images - errors])
    lines = read_run(subject.run_dir)
    return {
        "name": subject.name,
        "run": subject.run_dir,
        "settings": settings_in_words(subject.config),
        "configuration": subject.settings,
        "labels": subject.config.labels.classes * subject.config.labels.per_class,
        "seed": subject.config.run.seed,
        "step": subject.step,
        "errors": errors,
        "interval": (images * intervals.bootstrap(wrong)).tolist(),
        "confusion": counts.tolist(),
        "curve": [
            [line["step"], line["label_errors"] / line["label_images"]]
            for line in lines
            if "label_errors" in line
        ],
    }


def settings_in_words(config: Config) -> str:
    """How a run learned from its labels."""
    words = []
    if config.labels.weight != 1:
        words.append(f"label weight {config.labels.weight:g}")
    if config.labels.consistency:
        words.append(f"consistency {config.labels.consistency:g}")
    if config.labels.spreading:
        by = "features of a run" if config.labels.spreading_run() else "pixels"
        words.append(f"labels that spread by {by}")
    if config.labels.cycle and not config.labels.encoder_only:
        words.append(f"labels of generated images with weight {config.labels.cycle:g}")
    if config.labels.encoder_only:
        words = ["the same encoder alone", *words]
    else:
        words = [config.model.kind.upper(), *(words or ["the paper's objective"])]
    moves = [f"shifted by up to {config.labels.shift} px"] if config.labels.shift else []
    moves += [f"warped by up to {config.labels.warp:g}"] if config.labels.warp else []
    return ", ".join(words + (["labelled images " + " and ".join(moves)] if moves else []))


def _by_configuration(runs: list[dict[str, Any]]) -> dict[tuple[str, int], list[dict]]:
    """Runs that differ in the seed alone by (settings in words, labels), in order.

    The seed also draws which images have labels. Groups with the same words get their other
    flags in addition.
    """
    groups: dict[str, list[dict]] = {}
    for run in runs:
        groups.setdefault(json.dumps(run["configuration"], sort_keys=True), []).append(run)
    named = {}
    for alike in groups.values():
        first = alike[0]
        words, labels, own = first["settings"], first["labels"], first["configuration"]
        others = [
            other[0]["configuration"]
            for other in groups.values()
            if (other[0]["settings"], other[0]["labels"]) == (words, labels)
        ]
        differing = [flag for flag in own if any(other[flag] != own[flag] for other in others)]
        named[", ".join([words, *(f"{flag} {own[flag]}" for flag in differing)]), labels] = alike
    return named


def _errors_of(alike):
    """The errors of runs that differ in the seed alone, and the interval of their mean."""
    by_seed = {}
    for run in alike:
        by_seed.setdefault(run["seed"], run)
    errors = [run["errors"] for run in by_seed.values()]
    return errors, intervals.of_mean(errors) or alike[0]["interval"]


def _save_curves(path, runs):
    """Writes validation errors over the steps as PNG: runs of equal settings have one colour."""
    figure = plots.new_figure(6, 6)
    axes = figure.subplots()
    for number, ((settings, labels), alike) in enumerate(_by_configuration(runs).items()):
        legend = textwrap.fill(f"{labels} labels: {settings}", 70)
        for run in alike:
            steps, shares = np.reshape(run["curve"], [-1, 2]).T
            plots.draw_curve(axes, steps, 100 * shares, legend, color=f"C{number}")
            legend = None  # runs of equal settings share one entry of the legend
    axes.set(xlabel="step", ylabel="validation errors, %", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    figure.legend(loc="outside upper center", fontsize="small")
    plots.save_figure(path, figure)


def _result(answer):
    """The first paragraph of the report."""
    images, own = answer["images"], answer["runs"][0]
    words = (
        f"{own['name']} errs on {own['errors']} of {images:,} test images "
        f"({100 * own['errors'] / images:.2f} %) with {own['labels']} labels."
    )
    if answer["published"]:
        words += f" The paper has {published.mnist_100_labels()['HALI']['errors']}."
    return words


def _rows(answer):
    """A row for each group of runs of equal configuration; then the published ones."""
    rows = []
    for (settings, labels), alike in _by_configuration(answer["runs"]).items():
        errors, ends = _errors_of(alike)
        mean, std = scores.mean_and_std(errors).values()
        cell = markdown.with_interval(mean, ends, ".1f")
        rows.append([settings, labels, len(errors), cell, std, 100 * mean / answer["images"]])
    if answer["published"]:
        rows += [
            [f"{name} ({row['from']})", 100, None, row["errors"], row["std"], row["errors"] / 100]
            for name, row in published.mnist_100_labels().items()
        ]
    return rows
