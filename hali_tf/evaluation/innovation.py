"""Latent semantic innovation (paper, section 6.3): images changed through single entries of z_2.

An image is encoded to z_1 and z_2. z_2 is decoded to z_1 twice, as it is and with one entry
multiplied; the first result less the second is the innovation tensor. It is subtracted from the
encoded z_1, which changes as the decoded one did and keeps all that z_2 does not hold. The result
is decoded to an image. Where there are more than two levels, z_2 is read as the top one.

With labels, the entry of each attribute or class is the one of the highest correlation on training
images, and its axis leads from the mean z_2 of images without it to that of images with it. The
label y at the end of z_2 of a run that learns from labels is neither an entry nor a part of an
axis. The decisions of attribute classifiers before the change (on the reconstruction from z_1) and
after it tell whether the attribute changes in the direction of that correlation, and how many
others change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation import attribute_classifier, axes, traversal
from hali_tf.evaluation.claims import Finding, above, of_all
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures.correlations import all_pairs, of_columns
from hali_tf.measures.latents import scale_along
from hali_tf.measures.spectra import by_strength
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar

SCALARS = traversal.scalars(2, 2)
_CORRELATED, _MEASURED = 4000, 100  # images
_SHOWN_IMAGES, _SHOWN_LABELS = 3, 4
_NEAR = 0.5  # cosine of axes of which one is shown
_HOW_MEASURED = """\
An entry moves an image towards an attribute or away from it, by the sign of their correlation.
Changed: of those of {images} validation images that are not yet where the entry moves them, the
share for which the classifier's decision changes, in that direction. By other entries: the same
after the entries of other labels, each in the direction of its own correlation with this one.
Others: how many of the other decisions change, in either direction. A share is 0 where no image can
change. In brackets 95 % intervals by the bootstrap over images."""
_OF_AXES = """\
The paper has single entries alone. But all directions of z_2 are alike to the prior, so a label may
belong to any. Its axis leads from the mean of z_2 over training images without it to the mean over
those with it; the table has the correlation of validation images' components along it."""
_HOW_AXES_MEASURED = """\
Changed, along other axes, others: the same shares as above when this component is multiplied. Along
random axes: the mean of {random} axes, each in the direction of its correlation with the label."""
_SHOWN_AXES = """\
The same images along the axes of the labels whose components are best correlated; of axes nearer
than 60 degrees to each other one is shown."""


class Innovation(Question):
    """The entry of z_2 that belongs to each label, and what changing it does to images."""

    title = "Latent semantic innovation (section 6.3)"
    claims = {
        "control": "Changing the entry of an attribute changes that attribute, in its direction, "
        "more often than other entries do",
    }

    compares = False

    def unanswerable(self, context: Context) -> str | None:
        """A run of one level."""
        if context.subject.model.num_levels < 2:
            return "the run has one level, and this takes two; train --model=hali"
        return None

    def inputs(self, context: Context) -> dict:
        """Which attribute classifiers there are and when they were made."""
        return attribute_classifier.inputs(context)

    def answer(self, context: Context) -> dict:
        """Entry and axis of each label, what classifiers say; strips of validation images.

        Raises:
          UserError: a classifier cannot be used.
        """
        coder, held_out = context.subject.coder, context.split("validation")
        held_out = held_out.part(_MEASURED if held_out.labels is None else _CORRELATED)
        images = held_out.images
        zs = coder.encode(images)
        result = {"scalars": SCALARS.tolist(), "labels": {}, "readings": {}}
        by_entry = np.eye(zs[-1].shape[-1], dtype=np.float32)
        if held_out.labels is None:
            top = coder.num_levels
            components = progress_bar(traversal.components_of(context.subject, top), "innovate")
            spectra = traversal.effects(coder, zs[-1], top, components)
            shown = {"": {f"entry {k}": by_entry[k] for k in by_strength(spectra)[:_SHOWN_LABELS]}}
        else:
            result["labels"], towards = _correlations(context, coder, zs[-1], held_out.labels)
            if context.source.multi_label and context.classifier_dirs:
                few = held_out.draw(_MEASURED)
                result["measured"] = {"images": len(few), "scalar": axes.FLIP}
                result["readings"] = _measure(
                    context, [z[few] for z in zs], towards, result["labels"]
                )
            names = list(names_of_entries(result["labels"]).items())[:_SHOWN_LABELS]
            shown = {
                "": {f"{name}\nz_2[{k}]": by_entry[k] for k, name in names},
                "_axes": _most_correlated(result["labels"], axes.unit(towards)),
            }
            result["axes_shown"] = list(shown["_axes"])
        first = [z[:_SHOWN_IMAGES] for z in zs]
        for suffix, vectors in shown.items():
            if vectors:
                drawn = strips(coder, images[:_SHOWN_IMAGES], first, vectors)
                save_strips(context.path(f"innovation{suffix}.png"), drawn)
        return result

    def report(self, answer: dict) -> str:
        """The result in words, the strips, the table of labels."""
        labels = answer["labels"]
        figure = [
            "Validation images (right), and their reconstructions from z_1 after an entry of z_2 "
            "was multiplied; × 1 is the plain reconstruction from z_1.",
            "![innovations](innovation.png)",
        ]
        if not labels:
            return markdown.page(
                "The data has no labels: the entries of z_2 that change the images most are shown.",
                *figure,
            )
        return markdown.page(_result(answer), *figure, *_table(answer), *_axes(answer))

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the difference of the shares, mean over the attributes.

        Of every classifier's decisions; the interval reaches over those of all of them.
        """
        means = {name: reading["mean"] for name, reading in answer["readings"].items()}
        if not means or any(mean["difference"] is None for mean in means.values()):
            return {}
        findings = {
            name: above(
                f"{mean['changed']:.0%} and {mean['changed_by_other_entries']:.0%}",
                mean["intervals"]["difference"],
            )
            for name, mean in means.items()
        }
        return {"control": of_all(findings)}


def _result(answer):
    """The first paragraph of the report of labelled data."""
    labels = answer["labels"]
    best = max(labels, key=lambda name: abs(labels[name]["correlation_validation"]))
    words = [
        f"The label best predicted by a single entry of z_2 is {markdown.plain(best)}, with a "
        f"correlation of {labels[best]['correlation_validation']:+.2f} on validation images."
    ]
    for name, reading in answer["readings"].items():
        mean, others = reading["mean"], ""
        if mean["changed_by_other_entries"] is not None:  # where labels have different ones
            others = f", the entry of another label for {_cell(mean, 'changed_by_other_entries')}"
        words.append(
            f"By a classifier of {name}: multiplying the entry of a label by "
            f"{answer['measured']['scalar']:g} changes the decision on it in the entry's direction "
            f"for {_cell(mean, 'changed')} of the images that can change so{others}; on average "
            f"{_cell(mean, 'others_changed')} of the other decisions change as well. The same "
            f"along the axis of a label in z_2: {_cell(mean, 'changed_along_axis')}, along random "
            f"axes {_cell(mean, 'changed_along_random_axes')}."
        )
    return " ".join(words)


def _table(answer):
    """How to read the tables of entries, and the tables."""
    method = (
        "For each label, the entry of the highest correlation on training images, and that "
        "correlation on validation images. The label y at the end of z_2 of a run that learned "
        "from labels is left out."
    )
    if answer["readings"]:
        method = f"{method} {_HOW_MEASURED.format(**answer['measured'])}"
    rows = {
        name: [
            str(row["entry"]),
            f"{row['correlation']:+.3f}",
            markdown.with_interval(
                row["correlation_validation"], row["correlation_interval"], "+.3f"
            ),
        ]
        for name, row in answer["labels"].items()
    }
    head = ["label", "entry", "correlation, training", "validation"]
    measured = dict(zip(axes.OF_ENTRIES, ("changed", "by other entries", "others")))
    return method, *_by_reading(answer, head, rows, measured)


def _axes(answer):
    """The same for the axis of each label: how to read the tables, the strips, and the tables."""
    method = _OF_AXES
    if answer["readings"]:
        method = f"{method} {_HOW_AXES_MEASURED.format(random=axes.RANDOM)}"
    rows = {
        name: [markdown.with_interval(row["axis_correlation"], row["axis_interval"], "+.3f")]
        for name, row in answer["labels"].items()
    }
    names = ("changed", "along other axes", "others", "along random axes")
    tables = _by_reading(
        answer, ["label", "correlation, validation"], rows, dict(zip(axes.OF_AXES, names))
    )
    strips_of_axes = [_SHOWN_AXES, "![innovations along axes](innovation_axes.png)"]
    return method, *(strips_of_axes if answer["axes_shown"] else []), *tables


def _by_reading(answer, head, rows, measured):
    """Yields a table for each classifier, below its name; one table where there is none.

    Args:
      answer: with labels.
      head: headings of the columns that do not depend on a classifier.
      rows: label to the cells of these columns but the first.
      measured: each measure that depends on it to the heading of its column.
    """
    if not answer["readings"]:
        yield markdown.table(head, ([markdown.plain(name), *row] for name, row in rows.items()))
    for reading, found in answer["readings"].items():
        yield f"By a classifier of {reading}:"
        yield markdown.table(
            [*head, *measured.values()],
            (
                [markdown.plain(name), *row, *(_cell(found["labels"][name], m) for m in measured)]
                for name, row in rows.items()
            ),
        )


def _cell(row, measure):
    return markdown.cell(row, measure, ".1f" if measure.startswith("others") else ".0%")


def strips(
    coder: Coder,
    images: np.ndarray,
    zs: Sequence[np.ndarray],
    vectors: Mapping[str, np.ndarray],
) -> Strips:
    """For each image and axis, the image at each of `SCALARS`, and the original last.

    Args:
      coder: of two levels or more.
      images: uint8 [N, H, W, C].
      zs: their encodings, float32 [N, *latent] for each level.
      vectors: label to the axis along which z_L is multiplied, float32 [d], of length 1.

    Returns:
      The rows of an image follow each other.
    """
    along_axes = []
    for axis in vectors.values():
        changed = [axes.innovate(coder, zs, scale_along(zs[-1], axis, f)) for f in SCALARS]
        along_axes.append(np.stack([*changed, images], axis=1))
    rows = np.stack(along_axes, axis=1)
    columns = [f"× {f:g}" for f in SCALARS] + ["original"]
    return Strips(rows.reshape(-1, *rows.shape[2:]), columns, list(vectors) * len(images))


def _correlations(context, coder, z_validation, validation_labels):
    """Label name to its entry and correlations; and where each label's axis points, [A, d]."""
    source, train = context.source, context.split("train")
    rows = train.draw(_CORRELATED)
    z, train_labels = coder.encode(np.asarray(train.images[rows]))[-1], train.labels[rows]
    names = source.label_names
    if not source.multi_label:  # 0 and 1 for each class
        classes = np.arange(train.labels.max() + 1)
        names = names or [f"class {c}" for c in classes]
        train_labels = train_labels[:, np.newaxis] == classes
        validation_labels = validation_labels[:, np.newaxis] == classes
    on_training = all_pairs(z, train_labels)
    towards = on_training * z.std(axis=0)  # in proportion to the difference of the two means
    count = len(traversal.components_of(context.subject, context.subject.coder.num_levels))
    towards[:, count:] = 0  # y, which is not of the prior's Gaussian
    entries = np.argmax(np.abs(on_training[:, :count]), axis=1)
    on_validation, ends = of_columns(z_validation[:, entries], validation_labels)
    along_axis, axis_ends = of_columns(z_validation @ towards.T, validation_labels)
    labels = {
        str(name): {
            "entry": int(k),
            "correlation": float(on_training[i, k]),
            "correlation_validation": float(on_validation[i]),
            "correlation_interval": ends[:, i].tolist(),
            "axis_correlation": float(along_axis[i]),
            "axis_interval": axis_ends[:, i].tolist(),
        }
        for i, (name, k) in enumerate(zip(names, entries))
    }
    return labels, towards


def _most_correlated(labels, vectors):
    """Row label to axis: the best correlated on validation images, none near another one."""
    chosen = {}
    ranked = sorted(zip(labels, vectors), key=lambda pair: -labels[pair[0]]["axis_correlation"])
    for name, axis in ranked:
        if axis.any() and all(abs(axis @ other) < _NEAR for other in chosen.values()):
            chosen[f"{name}\nits axis"] = axis.astype(np.float32)
    return dict(list(chosen.items())[:_SHOWN_LABELS])


def names_of_entries(labels: dict[str, dict]) -> dict[int, str]:
    """Each entry's best label, the best correlated on validation images first.

    Args:
      labels: those of an answer.
    """
    names: dict[int, str] = {}
    for name in sorted(labels, key=lambda n: -abs(labels[n]["correlation_validation"])):
        names.setdefault(labels[name]["entry"], name)
    return names


def _measure(context, zs, towards, labels):
    """What each classifier says: its name to `axes.MEASURES` of the labels, and to their mean."""
    entries = [row["entry"] for row in labels.values()]
    classifiers = attribute_classifier.load_all(context)
    deciders = [classifier.decide for classifier in classifiers.values()]
    measured = axes.measure(context.subject.coder, zs, towards, entries, deciders)
    return {
        reading: {"labels": dict(zip(labels, of_labels)), "mean": mean}
        for reading, (*of_labels, mean) in zip(classifiers, measured)
    }
