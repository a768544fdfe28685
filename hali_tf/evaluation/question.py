"""What a question of the paper is."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from hali_tf import files
from hali_tf.evaluation.claims import Finding
from hali_tf.evaluation.context import Context


class Question(abc.ABC):
    """A question that an evaluation answers by numbers and figures.

    A question has its own module, and an instance in `hali_tf.evaluation.registry`.

    Attributes:
      title: a heading that names the section of the paper.
      claims: what is judged there: key to statement.
      beyond: keys of the claims that are not the paper's.
      decodes: whether the answer takes images from the decoder.
      compares: whether the answer is about the baselines too.
    """

    title: str
    claims: ClassVar[Mapping[str, str]] = {}
    beyond: ClassVar[Sequence[str]] = ()
    decodes: ClassVar[bool] = True
    compares: ClassVar[bool] = True

    def left_out(self, context: Context) -> str | None:
        """Why the question is not asked, or None: no decoder has learned, or `unanswerable`."""
        asked = context.subjects if self.compares else context.subjects[:1]
        for subject in asked if self.decodes else ():
            if subject.config.labels.encoder_only:
                return f"{subject.run_dir} trained its encoder alone (--encoder_only)"
        return self.unanswerable(context)

    def unanswerable(self, context: Context) -> str | None:
        """Why the question cannot be answered, such as "the data has no attributes", or None."""
        return None

    def inputs(self, context: Context) -> dict[str, Any]:
        """What the answer depends on besides models, data, limit and code: a dict for JSON.

        If it changes, the question is answered anew.

        Raises:
          UserError: one of them cannot be used. No question has been answered yet.
        """
        return {}

    @abc.abstractmethod
    def answer(self, context: Context) -> dict[str, Any]:
        """Computes the answer, a dict for JSON, and writes the figures to `context.path`."""

    @abc.abstractmethod
    def report(self, answer: dict[str, Any]) -> str:
        """The answer as Markdown: tables, figures, and what follows from them in words.

        The first paragraph, the result in a sentence or two, is also printed.

        Args:
          answer: of `answer`, as it comes back from JSON.
        """

    def headline(self, answer: dict[str, Any]) -> dict[str, dict[str, float]]:
        """What is compared over several trainings: name of a number to label to its value.

        Args:
          answer: of `answer`, as it comes back from JSON.
        """
        return {}

    def findings(self, answer: dict[str, Any]) -> dict[str, Finding]:
        """What the answer says of `claims`, by their keys; those that it cannot judge are left out.

        Args:
          answer: of `answer`, as it comes back from JSON.
        """
        return {}


def identity_of_weights(path: str, load: Callable[[str], Any]) -> list[str | int] | None:
    """Which file of weights the user named, for `Question.inputs`; None for none, "".

    Raises:
      UserError: `load` cannot use it.
    """
    if not path:
        return None
    load(path)
    return files.identity(path)
