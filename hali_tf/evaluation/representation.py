"""What linear classifiers read from the encoder's features (paper, section 7.1, Tables 2 and 6).

Linear SVMs are trained on the validation split and evaluated on the test split. Their
regularisation is chosen within the validation split, so the test split chooses nothing. The
features are

  z_1, z_2    the mean of q(z_l | z_{l-1}), feature maps averaged over a grid of 8x8; both together
  maps        the output of every row of the encoder below the Gaussians, averaged over the image

Of grids of 4x4, 8x8 and 16x16 the finer was the better on faces of 64x64 (72.3, 74.9 and 76.4 % on
held-out validation images); 16x16 of the paper's 64 maps would be 16,384 features.

For attributes the paper's measure is balanced accuracy. Classes take one SVM with as many classes.
Memory: float32 features of both splits of one model at a time, about 40 KiB per image at full
width, of 40,000 images for the whole of CelebA; liblinear's copy of the validation split is six
times its features, for each core.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from hali_tf.attributes import classifier as classifiers
from hali_tf.data import Split
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown, published
from hali_tf.evaluation.subjects import Subject
from hali_tf.measures import probes, scores
from hali_tf.models.generative import to_unit

_BATCH = 128
_GRID = 8
_FEW = (100, 1000)  # numbers of labels, besides all of them
_METHOD = """\
Linear SVMs with balanced class weights, on standardised features of encoders that were trained
without labels. The SVMs are trained on {validation} images of the validation split, of which one in
five chooses C, and evaluated on {test} of the test split. z_1 is averaged over a grid of
{grid}x{grid}; maps are the outputs of all rows of the encoder below the Gaussians, averaged over
the image. 100 and 1000: SVMs trained on so many labels, drawn from the validation split.
Neighbours: in place of SVMs the {neighbours} nearest images; the decision is the value whose share
among them exceeds its share among all images by the largest factor. Best: how often a row is the
highest; ties count for each. Deviations are those of a sample. All are per cent, and all but plain
are balanced accuracy."""


class Representation(Question):
    """Accuracies of SVMs on the features of each encoder."""

    title = "Attribute prediction from the encoder (section 7.1, Tables 2 and 6)"

    def inputs(self, context: Context) -> dict:
        """Which supervised references there are and when they were made."""
        return {"supervised": [classifiers.identity(_reference(s)) for s in context.subjects]}

    def unanswerable(self, context: Context) -> str | None:
        """Without labels."""
        for name in ("validation", "test"):
            if context.split(name).labels is None:
                return f"the data has no labels in its {name} split"
        return None

    def answer(self, context: Context) -> dict:
        """Accuracies on the test split in per cent.

        Returns:
          Dict: "validation" and "test", numbers of images; "attributes", names, None for classes;
          "rows", label to dict of "size" of the features, the chosen "C", "balanced" and "plain"
          (one value per attribute, or one), and mean balanced accuracies: "curve" by number of
          labels, "neighbours"; "summary" of "balanced"; "supervised", label to balanced accuracies
          of the encoders that were trained with labels; "orders", whether the run's own features
          are above each baseline's of the same kind.
        """
        source = context.source
        validation, test = context.split("validation"), context.split("test")
        labels, test_labels = _columns(validation.labels), _columns(test.labels)
        order = np.random.default_rng(context.seed).permutation(len(labels))
        rows, supervised = {}, {}
        for subject in context.subjects:
            encode = _encoder(subject.model)
            found = _features(context, subject, encode, validation)
            found_test = _features(context, subject, encode, test)
            for label in context.progress(list(found), "SVMs"):
                rows[label] = _probe(
                    found.pop(label)[order], labels[order], found_test.pop(label), test_labels
                )
            reference = _supervised(subject, source.label_names)
            if reference:
                supervised[f"{subject.name} encoder, supervised"] = reference
        summary = scores.summary({label: row["balanced"] for label, row in rows.items()})
        return {
            "validation": len(labels),
            "test": len(test_labels),
            "attributes": list(source.label_names or ()) if source.multi_label else None,
            "rows": rows,
            "summary": summary,
            "supervised": supervised,
            "orders": _orders(context.subjects, {k: row["mean"] for k, row in summary.items()}),
        }

    def report(self, answer: dict) -> str:
        """The result in words, the summary (Table 2), the table of attributes (Table 6)."""
        names = answer["attributes"]
        paper = published.attribute_prediction()
        paper = paper if names and set(paper["HALI"]) == set(names) else {}
        of = f", mean of {len(names)} attributes" if names else ""
        means = [f"{label} {row['mean']:.1f} %" for label, row in answer["summary"].items()]
        return markdown.page(
            f"Balanced accuracy of linear SVMs on the encoder's features{of}: {', '.join(means)}.",
            _METHOD.format(grid=_GRID, neighbours=probes.NEIGHBOURS, **answer),
            f"Published, in italics: {published.source('attribute_prediction')}." if paper else "",
            _summary(answer, paper),
            " ".join(
                f"{claim}: {'yes' if ok else 'no'}." for claim, ok in answer["orders"].items()
            ),
            _by_attribute(answer, paper) if names else "",
        )


def _orders(subjects, means):
    """Whether the run's own features are above each baseline's of the same kind."""
    own, *others = subjects
    return {
        f"{kind(own)} above {kind(other)}": means[kind(own)] > means[kind(other)]
        for other in others
        for kind in (_together, _maps)
    }


def _together(subject):
    """Label of the means of all levels."""
    labels = [label for label, _ in subject.levels()]
    levels = ", ".join(f"z_{l}" for l in range(1, len(labels) + 1))
    return labels[0] if len(labels) == 1 else f"{subject.name} {levels}"


def _maps(subject):
    return f"{subject.name} maps"


def _columns(labels):
    """Labels as [N, A]: class numbers are one column."""
    return labels if labels.ndim == 2 else labels[:, np.newaxis]


def _probe(features, labels, test_features, test_labels):
    """A row of the answer."""

    def balanced(decisions):
        return scores.balanced_accuracy(test_labels, decisions)

    decisions, c = probes.svm(features, labels, test_features)
    curve = {
        str(n): float(np.mean(balanced(probes.svm(features[:n], labels[:n], test_features)[0])))
        for n in _FEW
        if n < len(labels)
    }
    return {
        "size": features.shape[1],
        "C": c,
        "balanced": balanced(decisions).tolist(),
        "plain": scores.accuracy(test_labels, decisions).tolist(),
        "curve": {**curve, str(len(labels)): float(np.mean(balanced(decisions)))},
        "neighbours": float(np.mean(balanced(probes.nearest(features, labels, test_features)))),
    }


def _encoder(model: keras.Model) -> Callable:
    """A function of uint8 images to the pooled means of all levels and the pooled rows of all."""

    @tf.function(reduce_retracing=True)
    def encode(images):
        levels = model.average.encoder.maps(to_unit(images))
        maps = [pool(row, 1) for rows, _ in levels for row in rows]
        return [pool(mean, _GRID) for _, mean in levels], tf.concat(maps, axis=1)

    return encode


def _features(
    context: Context, subject: Subject, encode: Callable, split: Split
) -> dict[str, np.ndarray]:
    """Label to features of all images of a split, float32 [N, F]."""
    means, maps = [], []
    starts = range(0, len(split.images), _BATCH)
    for start in context.progress(starts, f"encode with {subject.name}"):
        means_of_batch, maps_of_batch = encode(np.asarray(split.images[start : start + _BATCH]))
        means.append([level.numpy() for level in means_of_batch])
        maps.append(maps_of_batch.numpy())
    zs = [np.concatenate(level) for level in zip(*means)]
    found = {label: zs[level - 1] for label, level in subject.levels()}
    found[_together(subject)] = np.concatenate(zs, axis=1)  # the same, where there is one level
    found[_maps(subject)] = np.concatenate(maps)
    return found


def pool(maps: tf.Tensor, side: int) -> tf.Tensor:
    """Feature maps [B, h, w, c] averaged over a grid of at most side x side: float32 [B, F]."""
    factors = [-(-size // side) for size in maps.shape[1:3]]
    maps = tf.nn.avg_pool2d(tf.cast(maps, tf.float32), factors, factors, "SAME")
    return tf.reshape(maps, [-1, int(np.prod(maps.shape[1:]))])


def _reference(subject):
    """Where `hali_tf.attributes --encoder_of` puts what it trains."""
    return os.path.join(subject.run_dir, "supervised")


def _supervised(subject, names):
    """Balanced test accuracies of the subject's encoder trained with labels, None if it was not."""
    if classifiers.identity(_reference(subject)) is None:
        return None
    card = classifiers.card(_reference(subject))
    return card["test"]["balanced"] if card["attributes"] == list(names) else None


def _summary(answer, paper):
    """Table 2, our rows first, the published ones last."""
    few = [str(n) for n in _FEW]
    rows = []
    for label, row in answer["rows"].items():
        rows.append(
            [
                label,
                *answer["summary"][label].values(),
                float(np.mean(row["plain"])),
                *(row["curve"].get(n) for n in few),
                row["neighbours"],
                row["size"],
                f"{row['C']:g}",
            ]
        )
    for label, values in answer["supervised"].items():
        rows.append([label, *scores.mean_and_std(values).values(), *[None] * 7])
    theirs = scores.summary({k: list(c.values()) for k, c in paper.items()}) if paper else {}
    for label, row in theirs.items():
        rows.append([f"*{label}*", *row.values(), *[None] * 6])
    head = ["", "mean", "std", "best", "plain", *few, "neighbours", "features", "C"]
    return markdown.table(head, rows)


def _by_attribute(answer, paper):
    """Table 6: one attribute per row."""
    names = answer["attributes"]
    columns = {label: row["balanced"] for label, row in answer["rows"].items()}
    columns.update(answer["supervised"])
    columns = {label: [f"{v:.1f}" for v in values] for label, values in columns.items()}
    columns.update({f"*{k}*": [c[name] for name in names] for k, c in paper.items()})
    rows = [[n.replace("_", " "), *(c[i] for c in columns.values())] for i, n in enumerate(names)]
    return markdown.table(["", *columns], rows)
