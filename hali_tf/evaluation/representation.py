"""What linear classifiers read from the encoder's features (paper, section 7.1, Tables 2 and 6).

Linear SVMs are trained on the validation split and evaluated on the test split. Their
regularisation is chosen within the validation split, so the test split chooses nothing. The
features are those of `encoder_features`.

For attributes the paper's measure is balanced accuracy. Classes take one SVM with as many classes.
Memory: float32 features of both splits of one model at a time, about 40 KiB per image at full
width, of 40,000 images for the whole of CelebA; liblinear's copy of the validation split is six
times its features, for each core.
"""

from __future__ import annotations

import os

import numpy as np

from hali_tf.attributes import folder as folders
from hali_tf.evaluation import encoder_features, tables
from hali_tf.evaluation.claims import Finding, above, compared, kind_of, roles
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown, published
from hali_tf.measures import intervals, probes, scores
from hali_tf.progress import progress_bar

_FEW = (100, 1000)  # numbers of labels, besides all of them
_SUPERVISED = ("PANDA", "Anet", "LMLE-kNN")  # published, with what the paper says HALI is above
_METHOD = """\
Linear SVMs with balanced class weights, on standardised features of encoders that were trained
without labels. The SVMs are trained on {validation} images of the validation split, of which one in
five chooses C, and evaluated on {test} of the test split; chance is {chance:.3g} %. z_1 is averaged
over a grid of {grid}x{grid}; maps are the outputs of all rows of the encoder below the Gaussians,
averaged over the image. PCA: as many features for every model, the first principal components of
the validation images. 100 and 1000: SVMs trained on so many labels, drawn from the validation
split. Neighbours: in place of SVMs the {neighbours} nearest images; the decision is the value whose
share among them exceeds its share among all images by the largest factor. Best: how often a row is
the highest; ties count for each. Deviations are those of a sample; in brackets 95 % intervals by
the bootstrap over test images. All are per cent, and all but plain are balanced accuracy."""


class Representation(Question):
    """Accuracies of SVMs on the features of each encoder."""

    title = "Attribute prediction from the encoder (section 7.1, Tables 2 and 6)"
    claims = {
        "ALI": "The encoder's features predict attributes better than ALI's",
        "VAE": "The encoder's features predict attributes better than a VAE's",
        "ALI equal": "... than ALI's, with as many features of each",
        "VAE equal": "... than a VAE's, with as many features of each",
        "PANDA": "... than the best hand-crafted features (PANDA, published)",
        "Anet": "... than deeply supervised features (Anet, published)",
        "LMLE-kNN": "... than supervised features (LMLE-kNN, published)",
    }
    beyond = ("ALI equal", "VAE equal")

    decodes = False

    def inputs(self, context: Context) -> dict:
        """Which supervised references there are and when they were made."""
        return {"supervised": [folders.identity(_reference(s)) for s in context.subjects]}

    def unanswerable(self, context: Context) -> str | None:
        """Without labels, or without images to choose C by."""
        for name in ("validation", "test"):
            if context.split(name).labels is None:
                return f"the data has no labels in its {name} split"
        if len(context.split("validation").images) == 1:
            return "there is one validation image; SVMs need two at least"
        return None

    def answer(self, context: Context) -> dict:
        """Accuracies on the test split in per cent.

        Returns:
          Dict: "validation" and "test", numbers of images; "attributes", names, None for classes;
          "rows", label to what `_probe` or `_supervised` says; "means", the "rows" and
          "differences" of the mean balanced accuracy, see `tables.measured`; "summary" of
          "balanced" without the supervised references; "features", name of each subject to the
          labels of its "natural" features and of the "equal" number of them.
        """
        source = context.source
        validation, test = context.split("validation"), context.split("test")
        labels, test_labels = _columns(validation.labels), _columns(test.labels)
        order = validation.draw(len(labels))
        encoders = {s.name: encoder_features.encoder(s.model) for s in context.subjects}
        supervised = {s.name: _supervised(s, source.label_names) for s in context.subjects}
        sizes = [encoder_features.size(encode, test.images) for encode in encoders.values()]
        size = min(len(labels), *sizes)  # PCA of N images has N components at most
        rows, decisions, names = {}, {}, {}
        for subject in context.subjects:
            features, test_features = (
                encoder_features.of_split(subject, encoders[subject.name], split)
                for split in (validation, test)
            )
            names[subject.name] = _add_equal(subject, features, test_features, size)
            for label in progress_bar(list(features), "SVMs"):
                rows[label], decisions[label] = _probe(
                    features.pop(label)[order], labels[order], test_features.pop(label), test_labels
                )
        summary = scores.summary({label: row["balanced"] for label, row in rows.items()})
        for name, classifier in supervised.items():
            if classifier is not None:
                label = f"{name} encoder, supervised"
                found = classifier.decide(np.asarray(test.images))
                rows[label], decisions[label] = _score(test_labels, found), found
        return {
            "validation": len(labels),
            "test": len(test_labels),
            "attributes": list(source.label_names or ()) if source.multi_label else None,
            "chance": 100 / len(np.unique(test_labels)),
            "labels": context.labels,
            "features": names,
            "rows": rows,
            "means": _means(test_labels, decisions),
            "summary": summary,
        }

    def report(self, answer: dict) -> str:
        """The result in words, the summary (Table 2), the table of attributes (Table 6)."""
        names, paper = answer["attributes"], _published(answer)
        of = f", mean of {len(names)} attributes" if names else ""
        means = [
            f"{label} {_cell(answer['means']['rows'][label])} %" for label in answer["summary"]
        ]
        limits = (probes.REGULARISATIONS[0], probes.REGULARISATIONS[-1])
        at_limit = [label for label, row in answer["rows"].items() if row.get("C") in limits]
        return markdown.page(
            f"Balanced accuracy of linear SVMs on the encoder's features{of} (chance "
            f"{answer['chance']:.3g} %): {', '.join(means)}.",
            _METHOD.format(grid=encoder_features.GRID, neighbours=probes.NEIGHBOURS, **answer),
            f"Published, in italics: {published.source('attribute_prediction')}." if paper else "",
            _summary(answer, paper),
            f"C is at the end of what was tried, and another may be better: {', '.join(at_limit)}."
            if at_limit
            else "",
            _by_attribute(answer, paper) if names else "",
        )

    def headline(self, answer: dict) -> dict[str, dict[str, float]]:
        """Mean balanced accuracies."""
        rows = answer["means"]["rows"].items()
        return {"SVMs, balanced accuracy, %": {label: row["balanced"] for label, row in rows}}

    def findings(self, answer: dict) -> dict[str, Finding]:
        """By the features of all levels together."""
        role = roles(answer["labels"])
        if not role:
            return {}
        features, found = answer["features"], {}
        own, *others = features
        for other in others:
            for key in ("natural", "equal"):
                claim = kind_of(other) + (" equal" if key == "equal" else "")
                if claim in self.claims and claim not in found:
                    pair = features[own][key], features[other][key]
                    found[claim] = compared(answer["means"], *pair, "balanced", form=".1f")
        paper = _published(answer)
        row = answer["means"]["rows"][features[own]["natural"]]
        for name in _SUPERVISED if paper else ():
            theirs = float(np.mean(list(paper[name].values())))
            ends = row["intervals"]["balanced"]
            found[name] = above(
                f"{row['balanced']:.1f} and {theirs:.1f}", ends and [end - theirs for end in ends]
            )
        return found


def _add_equal(subject, features, test_features, size):
    """Adds features of all levels together that are `size` at most.

    Returns:
      Dict: the labels of the "natural" features and of the "equal" number of them.
    """
    natural = equal = encoder_features.together(subject)
    if features[natural].shape[1] > size:
        equal = f"{natural}, {size} by PCA"
        features[equal], test_features[equal] = probes.reduced(
            features[natural], test_features[natural], size
        )
    return {"natural": natural, "equal": equal}


def _published(answer):
    """The published columns, if they are of the same attributes."""
    paper = published.attribute_prediction()
    names = answer["attributes"]
    return paper if names and set(paper["HALI"]) == set(names) else {}


def _columns(labels):
    """Labels as [N, A]: class numbers are one column."""
    return labels if labels.ndim == 2 else labels[:, np.newaxis]


def _means(truth, decisions):
    """Mean balanced accuracy of each label, and the differences."""
    values = [scores.recalls(truth, d, np.unique(truth)) for d in decisions.values()]
    return tables.measured(
        list(decisions),
        np.stack(values, axis=1),
        lambda means: scores.balanced(means).mean(axis=-1, keepdims=True),
        ["balanced"],
    )


def _score(truth, decisions):
    """Balanced accuracy of each column, plain accuracy, their intervals; the mean and its own."""
    values = scores.recalls(truth, decisions, np.unique(truth))

    def plain(means):
        return 100 * means[..., 1, :, :].sum(axis=-2).mean(axis=-1)

    return {
        "balanced": scores.balanced_accuracy(truth, decisions).tolist(),
        "plain": float(plain(values.mean(axis=0))),
        "intervals": {
            "balanced": intervals.bootstrap(values, scores.balanced).T.tolist(),
            "plain": intervals.bootstrap(values, plain).tolist(),
        },
    }


def _probe(features, labels, test_features, test_labels):
    """(a row of the answer, decisions on the test images)."""

    def mean(decisions):
        row = _means(test_labels, {"": decisions})["rows"][""]
        return {"value": row["balanced"], "interval": row["intervals"]["balanced"]}

    decisions, c = probes.svm(features, labels, test_features)
    row = {
        "size": features.shape[1],
        "C": c,
        **_score(test_labels, decisions),
        "curve": {
            str(n): mean(probes.svm(features[:n], labels[:n], test_features)[0])
            for n in _FEW
            if n < len(labels)
        },
        "neighbours": mean(probes.nearest(features, labels, test_features)),
    }
    return row, decisions


def _reference(subject):
    """Where `hali_tf.attributes --encoder_of` puts what it trains."""
    return os.path.join(subject.run_dir, "supervised")


def _supervised(subject, names):
    """The subject's encoder trained with labels; None if it was not, or on others."""
    if folders.identity(_reference(subject)) is None:
        return None
    classifier = folders.load(_reference(subject))
    return classifier if classifier.names == tuple(names or ()) else None


def _cell(row):
    return markdown.cell(row, "balanced", ".1f")


def _summary(answer, paper):
    """Table 2, our rows first, the published ones last."""
    few = [str(n) for n in _FEW]
    rows = []
    for label, row in answer["rows"].items():
        summary = answer["summary"].get(label) or scores.mean_and_std(row["balanced"])
        means = [*(row.get("curve", {}).get(n) for n in few), row.get("neighbours")]
        rows.append(
            [
                label,
                _cell(answer["means"]["rows"][label]),
                summary["std"],
                summary.get("best"),
                markdown.cell(row, "plain", ".1f"),
                *(m and markdown.with_interval(m["value"], m["interval"], ".1f") for m in means),
                row.get("size"),
                f"{row['C']:g}" if "C" in row else None,
            ]
        )
    theirs = scores.summary({k: list(c.values()) for k, c in paper.items()}) if paper else {}
    for label, row in theirs.items():
        rows.append([f"*{label}*", *row.values(), *[None] * 6])
    head = ["", "mean", "std", "best", "plain", *few, "neighbours", "features", "C"]
    return markdown.table(head, rows)


def _by_attribute(answer, paper):
    """Table 6: one attribute per row."""
    names = answer["attributes"]
    columns = {
        label: [
            markdown.with_interval(value, ends, ".1f")
            for value, ends in zip(row["balanced"], row["intervals"]["balanced"])
        ]
        for label, row in answer["rows"].items()
    }
    columns.update({f"*{k}*": [c[name] for name in names] for k, c in paper.items()})
    rows = [
        [markdown.plain(name.replace("_", " ")), *(column[i] for column in columns.values())]
        for i, name in enumerate(names)
    ]
    return markdown.table(["", *columns], rows)
