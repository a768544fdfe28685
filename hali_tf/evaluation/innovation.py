"""Latent semantic innovation (paper, section 6.3): real images changed through single entries of z_2.

An image is encoded to z_1 and z_2. Multiplying an entry of z_2 and decoding it to z_1, beside the
unchanged z_2, gives the innovation tensor: z_1 from the unchanged less z_1 from the changed. It is
subtracted from the encoded z_1, which moves as the decoded one did and keeps all that z_2 does not
know, and the result is decoded. Where there are more than two levels, z_2 is read as the top one.

With labels, the entry for each attribute or class is the one of the highest correlation on training
images. With an attribute classifier, its decisions on the images before (the reconstruction from
z_1) and after tell whether the attribute changes and how many others do.
"""

import numpy as np

from hali_tf.drawing.strips import save_strips
from hali_tf.evaluation import traversal
from hali_tf.evaluation.report import markdown
from hali_tf.measures.latents import scale
from hali_tf.measures.spectra import by_strength
from hali_tf.models.coder import Coder

TITLE = "Latent semantic innovation (section 6.3)"
SCALARS = traversal.scalars(2, 2)
FLIP = -3.0  # of the measure with the classifier: the entry at the other side, and far out
_CORRELATED, _MEASURED = 4000, 100  # images
_SHOWN_IMAGES, _SHOWN_ENTRIES = 3, 4


def unanswerable(context):
    """Why a run of one level cannot answer."""
    if context.subject.model.num_levels < 2:
        return "one level has no second one to change it by; train --model=hali"
    return None


def inputs(context):
    """Which attribute classifier, and when it was made."""
    from hali_tf.evaluation import attributes

    return attributes.inputs(context)


def answer(context):
    """The entry of each label, what the classifier says of it; strips of validation images."""
    coder, held_out = Coder(context.subject.model), context.split("validation")
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
        if context.source.multi_label and context.classifier_dir:
            _measure(context, coder, [z[:_MEASURED] for z in zs], result)
        shown = _most_correlated(result["labels"])
    few = [z[:_SHOWN_IMAGES] for z in zs]
    rows, columns, labels = strips(coder, images[:_SHOWN_IMAGES], few, shown)
    save_strips(context.path("innovation.png"), rows, columns, labels)
    return result


def report(answer):
    """Markdown."""
    labels, measured = answer["labels"], answer.get("measured")
    figure = [
        "Validation images (right), and their reconstructions from z_1 after an entry of z_2 was "
        "multiplied; × 1 is the plain reconstruction from z_1.",
        "![innovations](innovation.png)",
    ]
    if not labels:
        first = "The data has no labels: the entries of z_2 that change the images most are shown."
        return "\n\n".join([first, *figure])
    best = max(labels, key=lambda name: abs(labels[name]["correlation_validation"]))
    first = (
        f"The label that a single entry of z_2 tells best is {best}, with a correlation of "
        f"{labels[best]['correlation_validation']:+.2f} on validation images."
    )
    head = ["label", "entry", "correlation, training", "validation"]
    columns = {"entry": "d", "correlation": "+.3f", "correlation_validation": "+.3f"}
    how = (
        "For each label, the entry of the highest correlation on training images, and that "
        "correlation on validation images."
    )
    if measured:
        first += (
            f" Multiplying a label's entry by {measured['scalar']:g} changes the classifier's "
            f"decision on it for {measured['changed']:.0%} of the images, that of another label "
            f"{measured['changed_by_other_entries']:.0%}; {measured['others_changed']:.1f} others "
            "change with it."
        )
        how += (
            f" Changed: share of {measured['images']} validation images on which the classifier's "
            "decision becomes another one; by other entries: the same after the entries of other "
            "labels, for comparison; others: how many of the other decisions change with it."
        )
        head += ["changed", "by other entries", "others"]
        columns.update(changed=".0%", changed_by_other_entries=".0%", others_changed=".1f")
    rows = [
        [name, *(f"{row[c]:{form}}" for c, form in columns.items())] for name, row in labels.items()
    ]
    return "\n\n".join([first, *figure, how, markdown.table(head, rows)])


def innovate(coder, z_1, z_top, entry, scalar):
    """Images changed by one entry.

    Args:
      coder: `models.coder.Coder` of two levels or more.
      z_1, z_top: encoded images, float32 [N, *latent].
      entry: its number.
      scalar: what it is multiplied by.

    Returns:
      uint8 [N, H, W, C].
    """
    unchanged = coder.decode_latents(z_top, coder.num_levels)[0]
    changed = coder.decode_latents(scale(z_top, entry, scalar), coder.num_levels)[0]
    innovation = unchanged - changed
    return coder.decode(z_1 - innovation, 1)


def correlations(z, labels):
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


def changes(coder, zs, entries, decide):
    """How often each of the classifier's decisions changes with each entry.

    Args:
      coder: `models.coder.Coder` of two levels or more.
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


def strips(coder, images, zs, entries):
    """For each image and entry, the image at each of `SCALARS`, and the original last.

    Args:
      coder: `models.coder.Coder` of two levels or more.
      images: uint8 [N, H, W, C].
      zs: their encodings, float32 [N, *latent] for each level.
      entries: label to number.

    Returns:
      uint8 [rows, columns, H, W, C], headings of the columns, labels of the rows; the rows of an
      image follow each other.
    """
    rows = np.stack(
        [
            np.stack([innovate(coder, zs[0], zs[-1], k, f) for f in SCALARS] + [images], axis=1)
            for k in entries.values()
        ],
        axis=1,
    )
    columns = [f"× {f:g}" for f in SCALARS] + ["original"]
    return rows.reshape(-1, *rows.shape[2:]), columns, list(entries) * len(images)


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
    """Adds what the classifier says to the labels' rows, and the means."""
    from hali_tf.evaluation import attributes

    classifier = attributes.load(context)
    rows = list(result["labels"].values())
    entries = sorted({row["entry"] for row in rows})
    bar = context.progress(entries, "innovate")
    table = changes(coder, zs, bar, classifier.decide)
    for i, row in enumerate(rows):
        own = entries.index(row["entry"])
        row["changed"] = float(table[own, i])
        by_others = np.delete(table[:, i], own)
        row["changed_by_other_entries"] = float(by_others.mean()) if len(by_others) else 0.0
        row["others_changed"] = float(table[own].sum() - table[own, i])
    means = {
        name: float(np.mean([row[name] for row in rows]))
        for name in ("changed", "changed_by_other_entries", "others_changed")
    }
    result["measured"] = {"images": len(zs[0]), "scalar": FLIP, **means}
