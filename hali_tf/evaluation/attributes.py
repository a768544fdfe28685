"""Whether reconstructions keep the attributes of an image (paper, section 5.2, Tables 1 and 5).

python -m hali_tf.attributes --data=celeba --data_dir=DIR --out=FOLDER

trains the classifier that tells the attributes, a VGG16, on the training split; the same command
again goes on from the last checkpoint. python -m hali_tf.evaluate then takes
--attribute_classifier=FOLDER. With --encoder_of=RUN instead of --data it trains that run's encoder
with labels, the upper reference of the question "representation".
"""

import numpy as np

from hali_tf.errors import UserError
from hali_tf.evaluation.report import markdown, published
from hali_tf.measures import scores

TITLE = "Attributes that reconstructions keep (section 5.2, Tables 1 and 5)"
_BATCH = 128
_READING = """\
The classifier decides on each validation image and on its reconstructions. It has learned from
training images and from copies of them with blur and noise, so as to judge what a picture shows and
not how sharp it is. The paper does not say what it counts; its scores are higher than the
classifier's own accuracy, so they cannot be accuracies against the labels, and are read as
agreement of the two decisions. *Balanced* agreement is the mean of two shares: of the images with
the attribute (to the classifier) whose reconstruction has it, and of those without whose
reconstruction lacks it. It is what stands beside the published scores: as *plain* agreement, the
share of equal decisions, those of attributes that few faces have (Goatee, Sideburns) would be far
higher. *Kept* is the first of the two shares alone. An attribute counts as there where its
probability is above the share of training images that have it. Data is the classifier's own
accuracy against the labels. Best: for how many attributes a row is the highest of the models, equal
ones counted for each. Deviations are those of a sample."""


def load(context):
    """The `classifiers.AttributeClassifier` that the user named.

    Raises:
      UserError: it is damaged, or of other attributes or images than the data.
    """
    from hali_tf.attributes import classifier as classifiers

    classifier = classifiers.load(context.classifier_dir)
    for what, own, theirs in (
        ("attributes", classifier.names, context.source.label_names),
        ("images", classifier.image_shape, context.source.image_shape),
    ):
        if tuple(own) != tuple(theirs):
            raise UserError(
                f"--attribute_classifier={context.classifier_dir}: its {what} are "
                f"{_short(own)}, those of {context.source.name} are {_short(theirs)}; train one on "
                "the data of the run, at its --image_size"
            )
    return classifier


def inputs(context):
    """Which classifier, and when it was made."""
    from hali_tf.attributes import classifier as classifiers

    folder = context.classifier_dir
    return {"classifier": classifiers.identity(folder) if folder else None}


def unanswerable(context):
    """Without attributes or without a classifier of them."""
    if not context.source.multi_label:
        return "the data has no attributes"
    if not context.classifier_dir:
        return (
            "no attribute classifier; train one by python -m hali_tf.attributes and "
            "name its folder by --attribute_classifier"
        )
    return None


def answer(context):
    """Agreement of the decisions on validation images and on their reconstructions.

    Raises:
      UserError: as `load`.
    """
    import tensorflow as tf

    classifier = load(context)
    split = context.split("validation")
    decisions = {"Data": []}
    levels = []
    for subject in context.subjects:
        reconstruct = tf.function(subject.model.reconstruct, reduce_retracing=True)
        levels += [(label, reconstruct, level) for label, level in subject.levels()]
    for start in context.progress(range(0, len(split.images), _BATCH), "attributes"):
        images = np.asarray(split.images[start : start + _BATCH])
        decisions["Data"].append(classifier.decide(images))
        for label, reconstruct, level in levels:
            rebuilt = reconstruct(tf.constant(images), level).numpy()
            decisions.setdefault(label, []).append(classifier.decide(rebuilt))
    decisions = {label: np.concatenate(parts) for label, parts in decisions.items()}
    return tabulate(classifier.names, split.labels, decisions)


def _short(values):
    text = ", ".join(map(str, values))
    return f"({text})" if len(text) < 60 else f"({text[:60]}...: {len(values)})"


def tabulate(names, labels, decisions):
    """The answer from the classifier's decisions.

    Args:
      names: of the A attributes.
      labels: [N, A] of 0 and 1.
      decisions: uint8 [N, A], on the images themselves under "Data", on the reconstructions of each
        model and level under its label; the run's own first.

    Returns:
      Dict: "attributes", "images"; "data", the classifier's accuracies by measure; "levels",
      agreement by label and measure; "summary" of each measure; "orders", whether the first label's
      mean balanced agreement is above each other's. Per cent.
    """
    on_images = decisions["Data"]
    levels = {
        label: {name: values.tolist() for name, values in agreement(on_images, d).items()}
        for label, d in decisions.items()
        if label != "Data"
    }
    summary = {
        measure: scores.summary({label: rows[measure] for label, rows in levels.items()})
        for measure in ("balanced", "plain", "kept")
    }
    means = {label: row["mean"] for label, row in summary["balanced"].items()}
    first, *others = means
    return {
        "images": len(labels),
        "attributes": list(names),
        "data": {
            "balanced": scores.balanced_accuracy(labels, on_images).tolist(),
            "plain": scores.accuracy(labels, on_images).tolist(),
        },
        "levels": levels,
        "summary": summary,
        "orders": {f"{first} above {other}": means[first] > means[other] for other in others},
    }


def agreement(on_images, on_reconstructions):
    """Of decisions uint8 [N, A]: dict of measure to per cent, float64 [A].

    "kept" is 100 for an attribute that the classifier finds on no image.
    """
    there = on_images.sum(axis=0)
    kept = (on_images & on_reconstructions).sum(axis=0)
    return {
        "balanced": scores.balanced_accuracy(on_images, on_reconstructions),
        "plain": scores.accuracy(on_images, on_reconstructions),
        "kept": 100 * np.where(there > 0, kept / np.maximum(there, 1), 1.0),
    }


def report(answer):
    """The result in words, the summary (Table 1), the tables of attributes (Table 5)."""
    paper = published.attribute_preservation()
    if set(paper["Data"]) != set(answer["attributes"]):
        paper = {}
    means = [f"{label} {row['mean']:.1f} %" for label, row in answer["summary"]["balanced"].items()]
    parts = [
        "Agreement of the classifier's decisions on images and reconstructions, balanced, mean of "
        f"{len(answer['attributes'])} attributes: {', '.join(means)}.",
        _READING,
        f"{answer['images']} images. Published: {published.source('attribute_preservation')}.",
        _summary(answer, paper),
        " ".join(f"{words}: {'yes' if ok else 'no'}." for words, ok in answer["orders"].items()),
        "Balanced agreement for each attribute, with the published score in parentheses:",
        _by_attribute(answer, "balanced", paper),
        "Plain agreement:",
        _by_attribute(answer, "plain", {}),
    ]
    return "\n\n".join(part for part in parts if part)


def _summary(answer, paper):
    """Table 1; a row that only the paper has is empty on our side."""
    ours = {measure: dict(rows) for measure, rows in answer["summary"].items()}
    for measure, values in answer["data"].items():
        ours[measure]["Data"] = scores.mean_and_std(values)
    models = {label: list(c.values()) for label, c in paper.items() if label != "Data"}
    theirs = scores.summary(models) if paper else {}
    if paper:
        theirs["Data"] = scores.mean_and_std(list(paper["Data"].values()))
    head = ["", "balanced", "std", "best", "plain", "kept", "published", "std", "best"]
    rows = []
    for label in dict.fromkeys(["Data", *answer["levels"], *theirs]):
        balanced, plain, kept, there = (
            table.get(label, {})
            for table in (ours["balanced"], ours["plain"], ours["kept"], theirs)
        )
        cells = [balanced.get(name) for name in ("mean", "std", "best")]
        cells += [plain.get("mean"), kept.get("mean")]
        rows.append([label, *cells, *(there.get(name) for name in ("mean", "std", "best"))])
    return markdown.table(head, rows)


def _by_attribute(answer, measure, paper):
    """Table 5: a row an attribute."""
    columns = {"Data": answer["data"][measure]}
    columns.update({label: rows[measure] for label, rows in answer["levels"].items()})
    rows = []
    for i, name in enumerate(answer["attributes"]):
        row = [name.replace("_", " ")]
        for label, values in columns.items():
            beside = f" ({paper[label][name]})" if label in paper else ""
            row.append(f"{values[i]:.1f}{beside}")
        rows.append(row)
    return markdown.table(["", *columns], rows)
