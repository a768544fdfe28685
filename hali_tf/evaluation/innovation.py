"""Latent semantic innovation (paper, section 6.3): images changed through single entries of z_2.

An image is encoded to z_1 and z_2. z_2 is decoded to z_1 twice, as it is and with one entry
multiplied; the first result less the second is the innovation tensor. It is subtracted from the
encoded z_1, which changes as the decoded one did and keeps all that z_2 does not hold. The result
is decoded to an image. Where there are more than two levels, z_2 is read as the top one.

With labels, the entry of each attribute or class is the one of the highest correlation on training
images. With an attribute classifier, its decisions before the change (on the reconstruction from
z_1) and after it tell whether the attribute changes and how many others do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation import attribute_classifier, traversal
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures.latents import scale
from hali_tf.measures.spectra import by_strength
from hali_tf.models.coder import Coder

SCALARS = traversal.scalars(2, 2)
FLIP = -3.0  # multiplies an entry where the classifier decides: the other sign, and far out
_CORRELATED, _MEASURED = 4000, 100  # images
_SHOWN_IMAGES, _SHOWN_ENTRIES = 3, 4
_HOW_MEASURED = """\
Changed: for how many of {images} validation images the classifier's decision becomes another one.
By other entries: the same after the entries of other labels, for comparison. Others: how many of
the other decisions change with it."""


class Innovation(Question):
    """The entry of z_2 that belongs to each label, and what changing it does to images."""

    title = "Latent semantic innovation (section 6.3)"

    def unanswerable(self, context: Context) -> str | None:
        """A run of one level."""
        if context.subject.model.num_levels < 2:
            return "the run has one level, and this takes two; train --model=hali"
        return None

    def inputs(self, context: Context) -> dict:
        """Which attribute classifier there is and when it was made."""
        return attribute_classifier.inputs(context)

    def answer(self, context: Context) -> dict:
        """The entry of each label, what the classifier says of it; strips of validation images."""
        coder, held_out = context.subject.coder, context.split("validation")
        used = _MEASURED if held_out.labels is None else _CORRELATED
        images = np.asarray(held_out.images[:used])
        zs = coder.encode(images)
        result = {"scalars": SCALARS.tolist(), "labels": {}}
        if held_out.labels is None:
            components = context.progress(range(zs[-1].shape[-1]), "innovate")
            spectra = traversal.effects(coder, zs[-1], coder.num_levels, components)
            shown = {f"entry {k}": k for k in by_strength(spectra)[:_SHOWN_ENTRIES]}
        else:
            result["labels"] = _entries(context, coder, zs[-1], held_out.labels[:_CORRELATED])
            if context.source.multi_label and context.classifier_dirs:
                _measure(context, coder, [z[:_MEASURED] for z in zs], result)
            shown = _most_correlated(result["labels"])
        few = [z[:_SHOWN_IMAGES] for z in zs]
        save_strips(
            context.path("innovation.png"), strips(coder, images[:_SHOWN_IMAGES], few, shown)
        )
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
        return markdown.page(_result(answer), *figure, *_table(answer))


def _result(answer):
    """The first paragraph of the report of labelled data."""
    labels, measured = answer["labels"], answer.get("measured")
    best = max(labels, key=lambda name: abs(labels[name]["correlation_validation"]))
    words = (
        f"The label that a single entry of z_2 tells best is {best}, with a correlation of "
        f"{labels[best]['correlation_validation']:+.2f} on validation images."
    )
    if not measured:
        return words
    return (
        f"{words} Multiplying the entry of a label by {measured['scalar']:g} changes the "
        f"classifier's decision on it for {measured['changed']:.0%} of the images, the entry of "
        f"another label for {measured['changed_by_other_entries']:.0%}; "
        f"{measured['others_changed']:.1f} other decisions change with it."
    )


def _table(answer):
    """How to read the table, and the table."""
    method = (
        "For each label, the entry of the highest correlation on training images, and that "
        "correlation on validation images."
    )
    head = ["label", "entry", "correlation, training", "validation"]
    columns = {"entry": "d", "correlation": "+.3f", "correlation_validation": "+.3f"}
    if "measured" in answer:
        method = f"{method} {_HOW_MEASURED.format(**answer['measured'])}"
        head += ["changed", "by other entries", "others"]
        columns.update(changed=".0%", changed_by_other_entries=".0%", others_changed=".1f")
    rows = [
        [name, *(f"{row[column]:{form}}" for column, form in columns.items())]
        for name, row in answer["labels"].items()
    ]
    return method, markdown.table(head, rows)


def innovate(
    coder: Coder, z_1: np.ndarray, z_top: np.ndarray, entry: int, scalar: float
) -> np.ndarray:
    """Images changed by one entry.

    Args:
      coder: of two levels or more.
      z_1: of the encoded images, float32 [N, *latent].
      z_top: z_L of the same, float32 [N, d].
      entry: number of an entry of z_L.
      scalar: what it is multiplied by.

    Returns:
      uint8 [N, H, W, C].
    """
    unchanged = coder.decode_latents(z_top, coder.num_levels)[0]
    changed = coder.decode_latents(scale(z_top, entry, scalar), coder.num_levels)[0]
    innovation = unchanged - changed
    return coder.decode(z_1 - innovation, 1)


def correlations(z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each entry with each label, 0 where one of them is constant.

    Args:
      z: float32 [N, d].
      labels: [N, A] of 0 and 1.

    Returns:
      float64 [A, d].
    """
    z, labels = z - z.mean(axis=0, dtype=np.float64), labels - labels.mean(axis=0)
    deviations = np.outer(np.linalg.norm(labels, axis=0), np.linalg.norm(z, axis=0))
    return np.divide(labels.T @ z, deviations, out=np.zeros_like(deviations), where=deviations > 0)


def changes(
    coder: Coder,
    zs: list[np.ndarray],
    entries: Iterable[int],
    decide: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """How often each of the classifier's decisions changes with each entry.

    Args:
      coder: of two levels or more.
      zs: encoded images, float32 [N, *latent] for each level.
      entries: iterable of their numbers.
      decide: uint8 images [N, H, W, C] to decisions uint8 [N, A].

    Returns:
      float64 [entries, A], shares of the images.
    """
    before = decide(coder.decode(zs[0], 1))
    return np.stack(
        [
            np.mean(decide(innovate(coder, zs[0], zs[-1], k, FLIP)) != before, axis=0)
            for k in entries
        ]
    )


def strips(
    coder: Coder, images: np.ndarray, zs: list[np.ndarray], entries: dict[str, int]
) -> Strips:
    """For each image and entry, the image at each of `SCALARS`, and the original last.

    Args:
      coder: of two levels or more.
      images: uint8 [N, H, W, C].
      zs: their encodings, float32 [N, *latent] for each level.
      entries: label to number.

    Returns:
      The rows of an image follow each other.
    """
    rows = np.stack(
        [
            np.stack([innovate(coder, zs[0], zs[-1], k, f) for f in SCALARS] + [images], axis=1)
            for k in entries.values()
        ],
        axis=1,
    )
    columns = [f"× {f:g}" for f in SCALARS] + ["original"]
    return Strips(rows.reshape(-1, *rows.shape[2:]), columns, list(entries) * len(images))


def _entries(context, coder, z_validation, validation_labels):
    """Label name to its entry and correlations."""
    source, train = context.source, context.split("train")
    step = -(-len(train.images) // _CORRELATED)  # all classes, where they are in order
    z, train_labels = coder.encode(np.asarray(train.images[::step]))[-1], train.labels[::step]
    names = source.label_names
    if not source.multi_label:  # 0 and 1 for each class
        classes = np.arange(train.labels.max() + 1)
        names = names or [f"class {c}" for c in classes]
        train_labels = train_labels[:, np.newaxis] == classes
        validation_labels = validation_labels[:, np.newaxis] == classes
    on_training = correlations(z, train_labels)
    on_validation = correlations(z_validation, validation_labels)
    return {
        str(name): {
            "entry": int(k),
            "correlation": float(on_training[i, k]),
            "correlation_validation": float(on_validation[i, k]),
        }
        for i, (name, k) in enumerate(zip(names, np.argmax(np.abs(on_training), axis=1)))
    }


def _most_correlated(labels):
    """Row label to entry, of the labels best correlated on validation images, each entry once."""
    ordered = sorted(labels, key=lambda name: -abs(labels[name]["correlation_validation"]))
    first = {}
    for name in ordered:
        first.setdefault(labels[name]["entry"], name)
    return {f"{name}\nz_2[{k}]": k for k, name in list(first.items())[:_SHOWN_ENTRIES]}


def _measure(context, coder, zs, result):
    """Adds shares of changed decisions to the rows of the labels, and their means."""
    classifier = attribute_classifier.load(context)
    rows = list(result["labels"].values())
    entries = sorted({row["entry"] for row in rows})
    shares = changes(coder, zs, context.progress(entries, "innovate"), classifier.decide)
    for i, row in enumerate(rows):
        own = entries.index(row["entry"])
        row["changed"] = float(shares[own, i])
        by_others = np.delete(shares[:, i], own)
        row["changed_by_other_entries"] = float(by_others.mean()) if len(by_others) else 0.0
        row["others_changed"] = float(shares[own].sum() - shares[own, i])
    means = {
        name: float(np.mean([row[name] for row in rows]))
        for name in ("changed", "changed_by_other_entries", "others_changed")
    }
    result["measured"] = {"images": len(zs[0]), "scalar": FLIP, **means}
