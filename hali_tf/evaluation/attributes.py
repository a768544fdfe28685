"""Whether reconstructions keep the attributes of an image (paper, section 5.2, Tables 1 and 5).

A classifier that `hali_tf.attributes` trained decides the attributes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hali_tf.evaluation import attribute_classifier, tables
from hali_tf.evaluation.claims import Finding, above, compared, of_all, roles
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown, published
from hali_tf.measures import intervals, scores
from hali_tf.progress import progress_bar

CHANCE = 50  # per cent, balanced
_BATCH = 128
_MEASURES = ("balanced", "plain", "kept")
_METHOD = """\
The classifier decides on each validation image and on its reconstructions. The paper's was trained
on clean images; one that was also trained on copies with blur and noise judges what an image shows
and not how sharp it is. The paper does not say what its scores count. They are higher than the
accuracy of its classifier, so they cannot be accuracies against the labels, and are read as
agreement of the two decisions. *Balanced* agreement is the mean of two shares: of the images with
the attribute (by the classifier) whose reconstruction has it, and of those without whose
reconstruction lacks it; chance is 50 %. It is compared with the published scores, since *plain*
agreement, the share of equal decisions, would be far higher for attributes that few faces have
(Goatee, Sideburns). *Kept* is the first of the two shares alone. The classifier takes an attribute
as present where its probability is above the share of training images that have it. Data is the
classifier's own accuracy against the labels. Best: for how many attributes a row is the highest of
the models; ties count for each. The interval of this share reaches from the attributes for which
the row is ahead of all others to those for which it is not behind one, by paired intervals. An
attribute that no image has, or all have, by the decisions that count as the truth, has no balanced
agreement; means leave it out, and intervals the resamples in which that happens. Deviations are
those of a sample, over attributes; in brackets 95 % intervals by the bootstrap over images, which
counts images of one person as independent."""


class Attributes(Question):
    """How often a classifier decides equally on images and on their reconstructions."""

    title = "Attributes that reconstructions keep (section 5.2, Tables 1 and 5)"
    claims = {
        "ALI": "Reconstructions from z_1 keep more attributes than ALI's",
        "VAE": "Reconstructions from z_1 keep more attributes than a VAE's",
        "z_2": "Reconstructions from z_1 keep more attributes than those from z_2",
        "most": "Reconstructions from z_1 are the best of all models for most attributes",
        "top above ALI": "Reconstructions from z_2 keep more attributes than ALI's",
        "top above VAE": "Reconstructions from z_2 keep more attributes than a VAE's",
        "chance": f"Reconstructions from z_2 keep attributes: above chance, {CHANCE} %",
    }
    beyond = ("chance",)

    def unanswerable(self, context: Context) -> str | None:
        """Without attributes or without a classifier of them."""
        if not context.source.multi_label:
            return "the data has no attributes"
        if context.split("validation").labels is None:
            return "the data has no attributes in its validation split"
        if not context.classifier_dirs:
            return (
                "no attribute classifier; train one by python -m hali_tf.attributes and "
                "name its folder by --attribute_classifier"
            )
        return None

    def inputs(self, context: Context) -> dict:
        """Which classifiers they are and when they were made."""
        return attribute_classifier.inputs(context)

    def answer(self, context: Context) -> dict:
        """What `tabulate` makes of the decisions of each classifier, by what it was trained on.

        Raises:
          UserError: a classifier cannot be used.
        """
        classifiers = attribute_classifier.load_all(context)
        split = context.split("validation")
        found: dict[str, dict[str, list]] = {reading: {} for reading in classifiers}
        for start in progress_bar(range(0, len(split.images), _BATCH), "attributes"):
            images = np.asarray(split.images[start : start + _BATCH])
            shown = {"Data": images}
            for subject in context.subjects:
                for label, level in subject.levels():
                    shown[label] = subject.coder.reconstruct(images, level)
            for reading, classifier in classifiers.items():
                for label, batch in shown.items():
                    found[reading].setdefault(label, []).append(classifier.decide(batch))
        own, *others = context.subjects
        seeds = [label for s in others if s.flags == own.flags for label, _ in s.levels()]
        readings = {}
        for reading, parts_of in found.items():
            whole = {label: np.concatenate(parts) for label, parts in parts_of.items()}
            names = classifiers[reading].names
            readings[reading] = tabulate(names, np.asarray(split.labels), whole, seeds)
        return {"images": len(split.images), "labels": context.labels, "readings": readings}

    def report(self, answer: dict) -> str:
        """The result in words; for each classifier the summary (Table 1) and Table 5."""
        readings = answer["readings"]
        first, *_ = readings.values()
        paper = published.attribute_preservation()
        if set(paper["Data"]) != set(first["attributes"]):
            paper = {}
        means = "; ".join(_in_words(name, reading) for name, reading in readings.items())
        return markdown.page(
            "Agreement of a classifier's decisions on images and reconstructions, balanced, mean "
            f"of {len(first['attributes'])} attributes, where chance is {CHANCE} %: {means}.",
            _METHOD,
            f"{answer['images']} images. Published: {published.source('attribute_preservation')}.",
            _side_by_side(readings) if len(readings) > 1 else "",
            *(_of_reading(name, reading, paper) for name, reading in readings.items()),
        )

    def headline(self, answer: dict) -> dict[str, dict[str, float]]:
        """Balanced agreement by each classifier."""
        return {
            f"attributes kept, %, by a classifier of {name}": {
                label: row["balanced"]
                for label, row in reading["rows"].items()
                if row["balanced"] is not None
            }
            for name, reading in answer["readings"].items()
        }

    def findings(self, answer: dict) -> dict[str, Finding]:
        """Of every classifier's decisions; an interval reaches over those of all of them."""
        role = roles(answer["labels"])
        by_reading = {
            name: _findings(reading, role) for name, reading in answer["readings"].items()
        }
        first = next(iter(by_reading.values()))
        return {
            key: of_all({name: found[key] for name, found in by_reading.items()}) for key in first
        }


def _findings(reading, role):
    """Of one classifier; `role` is that of `roles`."""
    if not role or reading["best_share"]["value"] is None:  # no attribute to judge by
        return {}

    def over(own, other):
        return compared(reading, role[own], role[other], "balanced", form=".1f")

    found = {other: over("z_1", other) for other in ("ALI", "VAE", "z_2") if other in role}
    others = [other for other in ("ALI", "VAE") if other in role]
    found.update({f"top above {other}": over("z_2", other) for other in others})
    if others:
        share, interval = reading["best_share"]["value"], reading["best_share"]["interval"]
        found["most"] = above(f"{share:.0%}", interval and [end - 0.5 for end in interval])
    top = reading["rows"][role["z_2"]]
    interval = top["intervals"]["balanced"]
    found["chance"] = above(
        f"{top['balanced']:.1f}", interval and [end - CHANCE for end in interval]
    )
    return found


def tabulate(
    names: Sequence[str],
    labels: np.ndarray,
    decisions: dict[str, np.ndarray],
    seeds: Sequence[str] = (),
) -> dict:
    """The answer from a classifier's decisions.

    Args:
      names: of the A attributes.
      labels: [N, A] of 0 and 1.
      decisions: uint8 [N, A], on the images themselves under "Data", on the reconstructions of each
        model and level under its label; the run's own first.
      seeds: labels of the run's own model with another seed.

    Returns:
      Dict: "attributes"; "rows" and "differences" of the means of each measure, see
      `tables.measured`, where the row "Data" is the classifier's own accuracy; "summary" of each
      measure without it; "levels", label to measure to the values of the attributes, and
      "intervals" to theirs; "best_share", see `_best_share`, of all labels but `seeds`. Per cent;
      None where `agreement` is not defined.
    """
    on_images = decisions["Data"]
    rows = {label: (on_images, d) for label, d in decisions.items() if label != "Data"}
    rows["Data"] = (labels, on_images)
    values = np.stack([scores.recalls(*pair, (0, 1)) for pair in rows.values()], axis=1)
    point = agreement(values.mean(axis=0))
    ends = intervals.bootstrap(values, agreement)
    levels = {label: _level(point[i], ends[:, i]) for i, label in enumerate(rows)}
    models = [label for label in rows if label != "Data"]
    rivals = [i for i, label in enumerate(models) if label not in seeds]
    return {
        "attributes": list(names),
        **tables.measured(
            list(rows), values, lambda means: _mean(agreement(means), axis=-2), _MEASURES
        ),
        "summary": {
            name: scores.summary({label: _known(levels[label][name]) for label in models})
            for name in _MEASURES
        },
        "levels": levels,
        "best_share": _best_share(values[:, rivals]),
    }


def _mean(values, axis):
    """The mean without NaN; NaN where there is nothing else."""
    known = np.isfinite(values)
    return tables.divided(np.where(known, values, 0.0).sum(axis), known.sum(axis).astype(float))


def _level(values, ends):
    """The measures of the attributes, [A, M], and their intervals, [2, A, M], by name."""
    return {
        **{name: list(map(tables.finite, values[:, m])) for m, name in enumerate(_MEASURES)},
        "intervals": {
            name: list(map(tables.interval, ends[:, :, m].T)) for m, name in enumerate(_MEASURES)
        },
    }


def _known(values):
    return [value for value in values if value is not None]


def _best_share(values):
    """For which share of the attributes the first row's balanced agreement is the highest.

    A bootstrap of the share itself would be biased: the highest of several rows with noise is
    often another one. So each attribute has an interval of how far the first row is behind.

    Args:
      values: the recalls of each image, of one row or more.

    Returns:
      Dict: "value"; "interval", the share for which the interval says that the first row is the
      highest, and that for which it does not say that another one is. None without attributes.
    """

    def behind(means):
        balanced = agreement(means)[..., 0]
        return balanced.max(axis=-2) - balanced[..., 0, :]

    point = behind(values.mean(axis=0))
    low, high = intervals.bootstrap(values, behind)[:, np.isfinite(point)]
    if not len(low):
        return {"value": None, "interval": None}
    interval = [float(np.mean(high <= 0)), float(np.mean(~(low > 0)))]
    return {"value": float(np.mean(point[np.isfinite(point)] == 0)), "interval": interval}


def agreement(means: np.ndarray) -> np.ndarray:
    """How far two sets of decisions agree.

    Args:
      means: float64 [..., 2, 2, A], over `scores.recalls`.

    Returns:
      Per cent, float64 [..., A, 3]: "balanced", "plain", "kept". NaN are "balanced" where all
      decisions of the first set are equal, and "kept" where they say that no image has it.
    """
    occurs, found = means[..., 0, :, :], means[..., 1, :, :]
    recall = tables.divided(found, occurs)
    plain = found.sum(axis=-2)
    return 100 * np.stack([recall.mean(axis=-2), plain, recall[..., 1, :]], axis=-1)


def _in_words(name, reading):
    return f"by a classifier of {name} " + ", ".join(
        f"{label} {markdown.cell(reading['rows'][label], 'balanced', '.1f') or '–'} %"
        for label in reading["levels"]
        if label != "Data"
    )


def _side_by_side(readings):
    """Balanced agreement of each label by each classifier."""
    first, *_ = readings.values()
    rows = []
    for label in first["levels"]:
        of_label = [reading["rows"][label] for reading in readings.values()]
        rows.append([label, *(markdown.cell(row, "balanced", ".1f") for row in of_label)])
    rows.append(["chance", *[float(CHANCE)] * len(readings)])
    return markdown.table(["balanced, by a classifier of", *readings], rows)


def _of_reading(name, reading, paper):
    """The tables of one classifier."""
    return markdown.page(
        f"### By a classifier of {name}",
        _summary(reading, paper),
        "Balanced agreement for each attribute, with the published score in parentheses:",
        _by_attribute(reading, "balanced", paper),
        "Plain agreement:",
        _by_attribute(reading, "plain", {}),
    )


def _summary(reading, paper):
    """Table 1; a row that only the paper has is empty on our side."""
    models = {label: list(c.values()) for label, c in paper.items() if label != "Data"}
    theirs = scores.summary(models) if paper else {}
    if paper:
        theirs["Data"] = scores.mean_and_std(list(paper["Data"].values()))
    rows = []
    for label in dict.fromkeys(["Data", *reading["levels"], *theirs]):
        cells = [None] * 5
        if label in reading["rows"]:
            row = reading["rows"][label]
            balanced = reading["summary"]["balanced"].get(label) or scores.mean_and_std(
                _known(reading["levels"][label]["balanced"])
            )
            means = [markdown.cell(row, measure, ".1f") for measure in _MEASURES]
            kept = means[2] if label != "Data" else None
            cells = [means[0], balanced["std"], balanced.get("best"), means[1], kept]
        of_paper = theirs.get(label, {})
        rows.append([label, *cells, *(of_paper.get(name) for name in ("mean", "std", "best"))])
    rows.append(["chance", f"{CHANCE:.1f}", *[None] * 7])
    head = ["", "balanced", "std", "best", "plain", "kept", "published", "std", "best"]
    return markdown.table(head, rows)


def _by_attribute(reading, measure, paper):
    """Table 5: one attribute per row."""
    columns = {label: reading["levels"][label] for label in ["Data", *reading["levels"]]}
    rows = []
    for i, name in enumerate(reading["attributes"]):
        row = [markdown.plain(name.replace("_", " "))]
        for label, values in columns.items():
            ends = values["intervals"][measure][i]
            of_paper = f" ({paper[label][name]})" if label in paper else ""
            ours = markdown.with_interval(values[measure][i], ends, ".1f")
            row.append(f"{ours or '–'}{of_paper}")
        rows.append(row)
    return markdown.table(["", *columns], rows)
