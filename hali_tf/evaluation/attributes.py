"""Whether reconstructions keep the attributes of an image (paper, section 5.2, Tables 1 and 5).

The attributes are told by a classifier that `hali_tf.attributes` trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hali_tf.evaluation import attribute_classifier
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown, published
from hali_tf.measures import scores

_BATCH = 128
_METHOD = """\
The classifier decides on each validation image and on its reconstructions. It was trained on
training images and on copies of them with blur and noise, so that it judges what an image shows and
not how sharp it is. The paper does not say what its scores count. They are higher than the accuracy
of its classifier, so they cannot be accuracies against the labels, and are read as agreement of the
two decisions. *Balanced* agreement is the mean of two shares: of the images with the attribute (by
the classifier) whose reconstruction has it, and of those without whose reconstruction lacks it. It
is compared with the published scores, since *plain* agreement, the share of equal decisions, would
be far higher for attributes that few faces have (Goatee, Sideburns). *Kept* is the first of the two
shares alone. The classifier takes an attribute as present where its probability is above the share
of training images that have it. Data is the classifier's own accuracy against the labels. Best:
for how many attributes a row is the highest of the models; ties count for each. Deviations are
those of a sample."""


class Attributes(Question):
    """How often a classifier decides equally on images and on their reconstructions."""

    title = "Attributes that reconstructions keep (section 5.2, Tables 1 and 5)"

    def unanswerable(self, context: Context) -> str | None:
        """Without attributes or without a classifier of them."""
        if not context.source.multi_label:
            return "the data has no attributes"
        if context.split("validation").labels is None:
            return "the data has no attributes in its validation split"
        if not context.classifier_dir:
            return (
                "no attribute classifier; train one by python -m hali_tf.attributes and "
                "name its folder by --attribute_classifier"
            )
        return None

    def inputs(self, context: Context) -> dict:
        """Which classifier it is and when it was made."""
        return attribute_classifier.inputs(context)

    def answer(self, context: Context) -> dict:
        """What `tabulate` makes of the decisions on validation images and reconstructions.

        Raises:
          UserError: the classifier cannot be used.
        """
        classifier = attribute_classifier.load(context)
        split = context.split("validation")
        decisions: dict[str, list] = {"Data": []}
        for start in context.progress(range(0, len(split.images), _BATCH), "attributes"):
            images = np.asarray(split.images[start : start + _BATCH])
            decisions["Data"].append(classifier.decide(images))
            for subject in context.subjects:
                for label, level in subject.levels():
                    rebuilt = subject.coder.reconstruct(images, level)
                    decisions.setdefault(label, []).append(classifier.decide(rebuilt))
        whole = {label: np.concatenate(parts) for label, parts in decisions.items()}
        return tabulate(classifier.names, np.asarray(split.labels), whole)

    def report(self, answer: dict) -> str:
        """The result in words, the summary (Table 1), the tables of attributes (Table 5)."""
        paper = published.attribute_preservation()
        if set(paper["Data"]) != set(answer["attributes"]):
            paper = {}
        means = ", ".join(
            f"{label} {row['mean']:.1f} %" for label, row in answer["summary"]["balanced"].items()
        )
        return markdown.page(
            "Agreement of the classifier's decisions on images and reconstructions, balanced, mean "
            f"of {len(answer['attributes'])} attributes: {means}.",
            _METHOD,
            f"{answer['images']} images. Published: {published.source('attribute_preservation')}.",
            _summary(answer, paper),
            " ".join(
                f"{claim}: {'yes' if ok else 'no'}." for claim, ok in answer["orders"].items()
            ),
            "Balanced agreement for each attribute, with the published score in parentheses:",
            _by_attribute(answer, "balanced", paper),
            "Plain agreement:",
            _by_attribute(answer, "plain", {}),
        )


def tabulate(names: Sequence[str], labels: np.ndarray, decisions: dict[str, np.ndarray]) -> dict:
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


def agreement(on_images: np.ndarray, on_reconstructions: np.ndarray) -> dict[str, np.ndarray]:
    """How far two sets of decisions agree.

    Args:
      on_images: uint8 [N, A].
      on_reconstructions: uint8 [N, A].

    Returns:
      Measure to per cent, float64 [A]. "kept" is 100 for an attribute that the classifier finds on
      no image.
    """
    present = on_images.sum(axis=0)
    kept = (on_images & on_reconstructions).sum(axis=0)
    return {
        "balanced": scores.balanced_accuracy(on_images, on_reconstructions),
        "plain": scores.accuracy(on_images, on_reconstructions),
        "kept": 100 * np.where(present > 0, kept / np.maximum(present, 1), 1.0),
    }


def _summary(answer, paper):
    """Table 1; a row that only the paper has is empty on our side."""
    ours = {measure: dict(rows) for measure, rows in answer["summary"].items()}
    for measure, values in answer["data"].items():
        ours[measure]["Data"] = scores.mean_and_std(values)
    models = {label: list(c.values()) for label, c in paper.items() if label != "Data"}
    theirs = scores.summary(models) if paper else {}
    if paper:
        theirs["Data"] = scores.mean_and_std(list(paper["Data"].values()))
    rows = []
    for label in dict.fromkeys(["Data", *answer["levels"], *theirs]):
        balanced, plain, kept, of_paper = (
            table.get(label, {})
            for table in (ours["balanced"], ours["plain"], ours["kept"], theirs)
        )
        cells = [*_mean_std_best(balanced), plain.get("mean"), kept.get("mean")]
        rows.append([label, *cells, *_mean_std_best(of_paper)])
    head = ["", "balanced", "std", "best", "plain", "kept", "published", "std", "best"]
    return markdown.table(head, rows)


def _mean_std_best(row):
    return [row.get(name) for name in ("mean", "std", "best")]


def _by_attribute(answer, measure, paper):
    """Table 5: one attribute per row."""
    columns = {"Data": answer["data"][measure]}
    columns.update({label: rows[measure] for label, rows in answer["levels"].items()})
    rows = []
    for i, name in enumerate(answer["attributes"]):
        row = [name.replace("_", " ")]
        for label, values in columns.items():
            of_paper = f" ({paper[label][name]})" if label in paper else ""
            row.append(f"{values[i]:.1f}{of_paper}")
        rows.append(row)
    return markdown.table(["", *columns], rows)
