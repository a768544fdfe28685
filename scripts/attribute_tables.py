"""Writes the tables of docs/celeba64.md that have a row for each attribute, as CSV files.

  python scripts/attribute_tables.py --evaluation=runs/faces/seed_0/evaluation

The numbers are those of the evaluation's attributes.json and innovation.json (by their first
classifier) and representation.json, in per cent, and beside them the published ones.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from hali_tf import command, files
from hali_tf import config as configuration
from hali_tf.errors import UserError
from hali_tf.evaluation.report import published

_MODULE = "hali_tf.attribute_tables"


def _per_cent(share):
    return f"{100 * share:.0f}"


# Heading of each column, the number in innovation.json, and how it is written.
_INNOVATION: dict[str, tuple[str, Callable[[Any], str]]] = {
    "entry": ("entry", str),
    "correlation, training": ("correlation", "{:.3f}".format),
    "correlation, validation": ("correlation_validation", "{:.3f}".format),
    "changed, per cent": ("changed", _per_cent),
    "changed by other entries, per cent": ("changed_by_other_entries", _per_cent),
    "other decisions changed": ("others_changed", "{:.1f}".format),
    "changed along its axis, per cent": ("changed_along_axis", _per_cent),
    "changed along other axes, per cent": ("changed_along_other_axes", _per_cent),
    "changed along random axes, per cent": ("changed_along_random_axes", _per_cent),
}


def main() -> None:
    """Reads the answers; writes four tables."""
    evaluation, docs = flags.FLAGS.evaluation, flags.FLAGS.docs
    if not os.path.isdir(docs):
        raise UserError(f"--docs={docs}: no such folder; start the script at the repository's root")
    answers = {
        name: _answer(evaluation, name) for name in ("attributes", "innovation", "representation")
    }
    if not answers["innovation"].get("readings"):
        raise UserError(
            f"--evaluation={evaluation}: innovation.json is of an older version or without a "
            "classifier; run hali_tf.evaluate with --attribute_classifier first"
        )
    for name, columns in tables(answers).items():
        path = os.path.join(docs, f"{name}.csv")
        files.write_text(path, _csv(columns))
        print(f"{path} renewed")


def _answer(evaluation, name):
    path = os.path.join(evaluation, f"{name}.json")
    try:
        content = files.read_json(path)
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); run hali_tf.evaluate again") from error
    if content is None:
        raise UserError(
            f"--evaluation={evaluation}: there is no {name}.json; run hali_tf.evaluate with "
            "--attribute_classifier first"
        )
    return content["answer"]


def tables(answers: Mapping[str, Any]) -> dict[str, dict[str, Sequence]]:
    """Name of each file to its columns.

    Args:
      answers: of the questions "attributes", "innovation" and "representation".
    """
    attributes, representation = answers["attributes"], answers["representation"]
    reading = next(iter(attributes["readings"].values()))
    kept = {label: reading["levels"][label] for label in ["Data", *reading["levels"]]}
    found = {label: row["balanced"] for label, row in representation["rows"].items()}
    first = next(iter(answers["innovation"]["readings"].values()))["labels"]
    entries = {
        name: {**row, **first[name]} for name, row in answers["innovation"]["labels"].items()
    }
    return {
        "attributes_balanced": {
            **_named(reading["attributes"]),
            **{label: _tenths(row["balanced"]) for label, row in kept.items()},
            **_published(published.attribute_preservation(), reading["attributes"]),
        },
        "attributes_plain": {
            **_named(reading["attributes"]),
            **{label: _tenths(row["plain"]) for label, row in kept.items()},
        },
        "representation": {
            **_named(representation["attributes"]),
            **{label: _tenths(row) for label, row in found.items()},
            **_published(published.attribute_prediction(), representation["attributes"]),
        },
        "innovation": {
            **_named(entries),
            **{
                heading: [form(row[key]) for row in entries.values()]
                for heading, (key, form) in _INNOVATION.items()
            },
        },
    }


def _named(attributes):
    return {"attribute": [name.replace("_", " ") for name in attributes]}


def _tenths(values):
    """Empty where a number is not defined."""
    return ["" if value is None else f"{value:.1f}" for value in values]


def _published(paper, attributes):
    return {
        f"{model}, published": [column[name] for name in attributes]
        for model, column in paper.items()
    }


def _csv(columns):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    return text.getvalue()


if __name__ == "__main__":
    flags.DEFINE_string(
        "evaluation", None, "folder RUN/evaluation to read", required=True, module_name=_MODULE
    )
    configuration.define(_MODULE, docs=("docs/celeba64", "folder of the CSV files"))
    command.run(main, __doc__)
