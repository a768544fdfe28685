"""Latent semantic innovation (paper, section 6.3): images changed through single entries of z_2.

An image is encoded to z_1 and z_2. z_2 is decoded to z_1 twice, as it is and with one entry
multiplied; the first result less the second is the innovation tensor. It is subtracted from the
encoded z_1, which changes as the decoded one did and keeps all that z_2 does not hold. The result
is decoded to an image. Where there are more than two levels, z_2 is read as the top one.

With labels, the entry of each attribute or class is the one of the highest correlation on training
images. With an attribute classifier, its decisions before the change (on the reconstruction from
z_1) and after it tell whether the attribute changes in the direction of that correlation, and how
many others change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from hali_tf.drawing.strips import Strips, save_strips
from hali_tf.evaluation import attribute_classifier, traversal
from hali_tf.evaluation.claims import Finding, above
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures import intervals
from hali_tf.measures.correlations import all_pairs, of_columns
from hali_tf.measures.latents import innovated, scale
from hali_tf.measures.spectra import by_strength
from hali_tf.models.coder import Coder
from hali_tf.progress import progress_bar

SCALARS = traversal.scalars(2, 2)
FLIP = -3.0  # multiplies an entry where the classifier decides: the other sign, and far out
_CORRELATED, _MEASURED = 4000, 100  # images
_SHOWN_IMAGES, _SHOWN_ENTRIES = 3, 4
_HOW_MEASURED = """\
An entry moves an image towards an attribute or away from it, by the sign of their correlation.
Changed: of those of {images} validation images that are not yet where the entry moves them, the
share for which the classifier's decision changes, in that direction. By other entries: the same
after the entries of other labels, each in the direction of its own correlation with this one.
Others: how many of the other decisions change, in either direction. In brackets 95 % intervals by
the bootstrap over images."""
_MEASURES = ("changed", "changed_by_other_entries", "others_changed")


class Innovation(Question):
    """The entry of z_2 that belongs to each label, and what changing it does to images."""

    title = "Latent semantic innovation (section 6.3)"
    claims = {
        "control": "Changing the entry of an attribute changes that attribute, in its direction, "
        "more often than other entries do",
    }

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
            components = progress_bar(range(zs[-1].shape[-1]), "innovate")
            spectra = traversal.effects(coder, zs[-1], coder.num_levels, components)
            shown = {f"entry {k}": k for k in by_strength(spectra)[:_SHOWN_ENTRIES]}
        else:
            result["labels"], on_training = _entries(
                context, coder, zs[-1], held_out.labels[:_CORRELATED]
            )
            if context.source.multi_label and context.classifier_dirs:
                _measure(context, coder, [z[:_MEASURED] for z in zs], on_training, result)
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

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the difference of the shares, mean over the attributes."""
        measured = answer.get("measured")
        if not measured or measured["changed_by_other_entries"] is None:
            return {}
        figure = f"{measured['changed']:.0%} and {measured['changed_by_other_entries']:.0%}"
        return {"control": above(figure, measured["difference"]["interval"])}


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
    others = ""
    if measured["changed_by_other_entries"] is not None:  # where labels have different ones
        others = f", the entry of another label for {_cell(measured, 'changed_by_other_entries')}"
    return (
        f"{words} Multiplying the entry of a label by {measured['scalar']:g} changes the "
        f"classifier's decision on it in the entry's direction for {_cell(measured, 'changed')} of "
        f"the images that can change so{others}; on average {_cell(measured, 'others_changed')} "
        "of the other decisions change as well."
    )


def _table(answer):
    """How to read the table, and the table."""
    method = (
        "For each label, the entry of the highest correlation on training images, and that "
        "correlation on validation images."
    )
    head = ["label", "entry", "correlation, training", "validation"]
    measures = _MEASURES if "measured" in answer else ()
    if measures:
        method = f"{method} {_HOW_MEASURED.format(**answer['measured'])}"
        head += ["changed", "by other entries", "others"]
    rows = [
        [
            name,
            str(row["entry"]),
            f"{row['correlation']:+.3f}",
            markdown.with_interval(
                row["correlation_validation"], row["correlation_interval"], "+.3f"
            ),
            *(_cell(row, measure) for measure in measures),
        ]
        for name, row in answer["labels"].items()
    ]
    return method, markdown.table(head, rows)


def _cell(row, measure):
    return markdown.cell(row, measure, ".1f" if measure == "others_changed" else ".0%")


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
    return coder.decode(innovated(coder, z_1, z_top, scale(z_top, entry, scalar)), 1)


def changes(
    coder: Coder,
    zs: list[np.ndarray],
    entries: Iterable[int],
    decide: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """The classifier's decisions before and after the change of each entry.

    Args:
      coder: of two levels or more.
      zs: encoded images, float32 [N, *latent] for each level.
      entries: E numbers.
      decide: uint8 images [N, H, W, C] to decisions uint8 [N, A].

    Returns:
      uint8 [N, A] and [N, E, A].
    """
    after = [decide(innovate(coder, zs[0], zs[-1], k, FLIP)) for k in entries]
    return decide(coder.decode(zs[0], 1)), np.stack(after, axis=1)


def in_direction(
    before: np.ndarray, after: np.ndarray, z: np.ndarray, signs: np.ndarray
) -> np.ndarray:
    """Which decisions could change in the direction of an entry, and which did.

    Args:
      before: uint8 [N, A], decisions.
      after: uint8 [N, E, A], after each entry was multiplied by `FLIP`.
      z: float32 [N, E], the entries.
      signs: [E, A], of the correlation of entry and attribute.

    Returns:
      bool [N, 2, E, A].
    """
    target = (FLIP - 1) * z[:, :, np.newaxis] * signs > 0  # whether the attribute is to be there
    could = target != before[:, np.newaxis]
    return np.stack([could, could & (after == target)], axis=1)


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
    """Label name to its entry and correlations; and all correlations on training, [A, d]."""
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
    entries = np.argmax(np.abs(on_training), axis=1)
    on_validation, ends = of_columns(z_validation[:, entries], validation_labels)
    labels = {
        str(name): {
            "entry": int(k),
            "correlation": float(on_training[i, k]),
            "correlation_validation": float(on_validation[i]),
            "correlation_interval": ends[:, i].tolist(),
        }
        for i, (name, k) in enumerate(zip(names, entries))
    }
    return labels, on_training


def _most_correlated(labels):
    """Row label to entry, of the labels best correlated on validation images, each entry once."""
    names = list(names_of_entries(labels).items())[:_SHOWN_ENTRIES]
    return {f"{name}\nz_2[{k}]": k for k, name in names}


def names_of_entries(labels: dict[str, dict]) -> dict[int, str]:
    """Each entry's best label, the best correlated on validation images first.

    Args:
      labels: those of an answer.
    """
    names: dict[int, str] = {}
    for name in sorted(labels, key=lambda n: -abs(labels[n]["correlation_validation"])):
        names.setdefault(labels[name]["entry"], name)
    return names


def _measure(context, coder, zs, correlation, result):
    """Adds shares of changed decisions to the rows of the labels, and their means."""
    classifier = attribute_classifier.load(context)
    rows = list(result["labels"].values())
    entries = sorted({row["entry"] for row in rows})
    own = [entries.index(row["entry"]) for row in rows]
    progress = progress_bar(entries, "innovate")
    before, after = changes(coder, zs, progress, classifier.decide)
    signs = np.sign(correlation[:, entries]).T
    directed = in_direction(before, after, zs[-1][:, entries], signs)
    any_change = (after != before[:, np.newaxis])[:, np.newaxis]
    values = np.concatenate([directed, any_change], axis=1)
    of_label, is_own = np.arange(len(rows)), np.zeros(signs.shape, bool)
    is_own[own, of_label] = True

    def shares(means):
        """Of means [..., 3, E, A]: `_MEASURES` of each label, [..., 3, A]."""
        possible, found, changed = np.moveaxis(means, -3, 0)
        share = np.divide(found, possible, out=np.zeros_like(found), where=possible > 0)
        others = np.sum(share, axis=-2, where=~is_own) / max(len(entries) - 1, 1)
        with_it = changed.sum(axis=-1)[..., own] - changed[..., own, of_label]
        return np.stack([share[..., own, of_label], others, with_it], axis=-2)

    def with_means(means):
        """The same with the mean of all labels last."""
        found = shares(means)
        return np.concatenate([found, found.mean(axis=-1, keepdims=True)], axis=-1)

    value, ends = with_means(values.mean(axis=0)), intervals.bootstrap(values, with_means)
    result["measured"] = {"images": len(zs[0]), "scalar": FLIP}
    for i, row in enumerate([*rows, result["measured"]]):
        row.update(zip(_MEASURES, value[:, i].tolist()))
        row["intervals"] = dict(zip(_MEASURES, ends[:, :, i].T.tolist()))
        if len(entries) == 1:
            row["changed_by_other_entries"] = None

    def difference(means):
        found = shares(means).mean(axis=-1)
        return found[..., 0] - found[..., 1]

    result["measured"]["difference"] = {
        "value": float(difference(values.mean(axis=0))),
        "interval": intervals.bootstrap(values, difference).tolist(),
    }
