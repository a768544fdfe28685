"""The first section of a report: the paper's claims, and the headline numbers over seeds."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hali_tf.evaluation.claims import Finding, kind_of
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown
from hali_tf.measures import intervals

_METHOD = """\
The interval is that of the number which is above 0 if the claim holds, mostly a difference, at 95 %
over images: *holds* where all of it is above 0, *does not hold* where all of it is below, and
otherwise *undecided*. It does not say how another training would turn out."""
_SEEDS = """\
Trainings that differ in nothing but the seed; of their mean the 95 % interval (Student's t)."""
_NOT_MEASURED = "not measured"
_BEYOND = "beyond"
_UNANSWERED = "this takes a HALI, and the baseline, attributes or labels that the claim mentions"


def section(
    context: Context,
    questions: Mapping[str, Question],
    answers: Mapping[str, tuple[dict[str, Any], Mapping[str, Finding]]],
    missing: Mapping[str, str],
) -> str:
    """The section as Markdown; "" if there is nothing to say.

    Args:
      context: the evaluation.
      questions: by name.
      answers: name of each question that was answered to its answer and findings.
      missing: name of each other question to why it has no answer.
    """
    findings = {name: found for name, (_, found) in answers.items()}
    headlines = {
        number: {label: value for label, value in values.items() if value is not None}
        for name, (answer, _) in answers.items()
        for number, values in questions[name].headline(answer).items()
    }
    return markdown.page(
        claims(questions, findings, missing, _chosen(context.subjects)),
        seeds(_groups(context.subjects), headlines),
    )


def claims(
    questions: Mapping[str, Question],
    findings: Mapping[str, Mapping[str, Finding]],
    missing: Mapping[str, str],
    chosen: str = "",
) -> str:
    """The claims of all questions as Markdown; "" where there are none.

    Args:
      questions: by name.
      findings: of the questions that were answered.
      missing: name of each other question to why it has no answer.
      chosen: which models the claims are about, where that is not plain.
    """
    rows = []
    for name, question in questions.items():
        section = re.search(r"section ([\d.]+)", question.title)
        where = section[1] if section else ""
        for key, statement in question.claims.items():
            reason = f"{_NOT_MEASURED}: {missing.get(name, _UNANSWERED)}"
            finding = findings.get(name, {}).get(key, Finding("–", None, reason))
            interval = finding.interval
            ends = f"[{', '.join(f'{end:.3g}' for end in interval)}]" if interval else "–"
            place = f"{_BEYOND} {where}" if key in question.beyond else where
            rows.append([place, statement, finding.figure, ends, finding.verdict])
    if not rows:
        return ""
    ours = [row for row in rows if row[0].startswith(_BEYOND)]
    papers = [row for row in rows if row not in ours]
    return markdown.page(
        f"Of the paper's {_counted(papers)}."
        + (f" Beyond the paper, of {_counted(ours)}." if ours else ""),
        _METHOD,
        chosen,
        markdown.table(["section", "claim", "here", "interval", "verdict"], rows),
    )


def _counted(rows):
    """How many claims these rows are, and how many of each verdict."""
    verdicts = collections.Counter(row[-1].partition(":")[0] for row in rows)
    listed = ", ".join(f"{verdict} {count}" for verdict, count in sorted(verdicts.items()))
    return f"{len(rows)} claim{'s' * (len(rows) > 1)}: {listed}"


def seeds(groups: Mapping[str, list[str]], headlines: Mapping[str, Mapping[str, float]]) -> str:
    """Means over trainings that differ in the seed alone as Markdown; "" without such.

    Args:
      groups: name of a model to the names of its trainings.
      headlines: name of a number to label to its value; a label begins with a training's name.
    """
    rows: list[list[str | float | None]] = []
    for number, values in headlines.items():
        for model, names in groups.items():
            for label in values:
                suffix = label[len(names[0]) :]
                all_labels = [name + suffix for name in names]
                is_own = label.startswith(names[0]) and suffix[:1] in ("", " ", ",")
                if is_own and all(one in values for one in all_labels):
                    of_seeds = [values[one] for one in all_labels]
                    mean = markdown.with_interval(
                        float(np.mean(of_seeds)), intervals.of_mean(of_seeds)
                    )
                    single = ", ".join(f"{value:#.4g}" for value in of_seeds)
                    rows.append([number, model + suffix, len(of_seeds), mean, single])
    if not rows:
        return ""
    head = ["", "model", "trainings", "mean", "single trainings"]
    return markdown.page("### Over seeds of training", _SEEDS, markdown.table(head, rows))


def _chosen(subjects):
    """Which model of several of one kind the claims are about: the first (see `claims.roles`)."""
    kinds = collections.defaultdict(list)
    for subject in subjects:
        kinds[kind_of(subject.name)].append(subject.name)
    chosen = [f"{kind} means {names[0]}" for kind, names in kinds.items() if len(names) > 1]
    if not chosen:
        return ""
    return f"In the claims {', '.join(chosen)}; all models are all but other seeds of the run."


def _groups(subjects):
    """For `seeds`: the subjects of equal settings, two or more of each."""
    by_settings = collections.defaultdict(dict)
    for subject in subjects:  # two of one seed are one training
        by_settings[str(subject.settings)].setdefault(subject.config.run.seed, subject.name)
    groups = [list(names.values()) for names in by_settings.values() if len(names) > 1]
    kinds = [kind_of(names[0]) for names in groups]
    return {
        kind if kinds.count(kind) == 1 else names[0]: names for kind, names in zip(kinds, groups)
    }
