"""The first section of a report: every claim of the paper, and what was found of it."""

from __future__ import annotations

import collections
import re
from collections.abc import Mapping

from hali_tf.evaluation.claims import Finding
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.report import markdown

_METHOD = """\
The interval is that of the number which is above 0 if the claim holds, mostly a difference, at 95 %
over images: *holds* where all of it is above 0, *does not hold* where all of it is below, and
otherwise *undecided*. It does not say how another training would turn out."""
_NOT_MEASURED = "not measured"
_UNANSWERED = "the run has one level, or no baseline is of the model that the claim names"


def claims(
    questions: Mapping[str, Question],
    findings: Mapping[str, Mapping[str, Finding]],
    missing: Mapping[str, str],
) -> str:
    """The claims of all questions as Markdown; "" where there are none.

    Args:
      questions: by name.
      findings: of the questions that were answered.
      missing: name of each other question to why it has no answer.
    """
    rows = []
    for name, question in questions.items():
        section = re.search(r"section ([\d.]+)", question.title)
        for key, statement in question.claims.items():
            reason = f"{_NOT_MEASURED}: {missing.get(name, _UNANSWERED)}"
            finding = findings.get(name, {}).get(key, Finding("–", None, reason))
            interval = finding.interval
            ends = f"[{', '.join(f'{end:.3g}' for end in interval)}]" if interval else "–"
            rows.append(
                [section[1] if section else "", statement, finding.figure, ends, finding.verdict]
            )
    if not rows:
        return ""
    verdicts = collections.Counter(row[-1].partition(":")[0] for row in rows)
    return markdown.page(
        f"Of the paper's {len(rows)} claims: "
        + ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
        + ".",
        _METHOD,
        markdown.table(["section", "the paper's claim", "here", "interval", "verdict"], rows),
    )
