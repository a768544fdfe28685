"""The answers that were given before: NAME.json for each question."""

from __future__ import annotations

import hashlib
import inspect
import json
import pathlib
from typing import Any

import hali_tf
from hali_tf import files
from hali_tf.data import SPLITS
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.sources import sources
from hali_tf.runs import run_folder
from hali_tf.runs.history import weights_of


class AnswerCache:
    """The answers in the folder of an evaluation.

    Args:
      context: the evaluation.
      questions: its questions by name.
    """

    def __init__(self, context: Context, questions: dict[str, Question]):
        self._context, self._questions = context, questions
        self._dependencies_by_name: dict[str, dict] = {}

    def read(self, name: str) -> dict[str, Any] | None:
        """The answer to a question; None unless it is of the same models, flags and code."""
        file, dependencies = self._file(name), self._dependencies(name)
        return file["answer"] if file and file["asked_of"] == dependencies else None

    def forget(self, name: str) -> None:
        """Removes an answer before its pictures are replaced, since the next one may be stopped."""
        path = self._context.path(f"{name}.json")
        if files.exists(path):
            files.remove(path)

    def write(self, name: str, answer: dict[str, Any]) -> None:
        """Keeps an answer."""
        file = {
            "question": self._questions[name].title,
            "asked_of": self._dependencies(name),
            "answer": answer,
        }
        files.write_json(self._context.path(f"{name}.json"), file)

    def _file(self, name):
        try:
            file = files.read_json(self._context.path(f"{name}.json"))
        except (OSError, ValueError):
            return None
        return file if isinstance(file, dict) and {"asked_of", "answer"} <= file.keys() else None

    def _dependencies(self, name):
        """All that the answer depends on, as it comes back from JSON.

        They are those of the first call: what changes later is not in the answer.
        """
        if name not in self._dependencies_by_name:
            question = self._questions[name]
            dependencies = {
                "hali_tf": hali_tf.__version__,
                "code": _code(question),
                "subjects": [_identity(subject) for subject in self._context.subjects],
                "images": [run_folder.describe(self._context.split(name)) for name in SPLITS],
                "names": self._context.source.label_names,
                "limit": self._context.limit,
                **question.inputs(self._context),
            }
            self._dependencies_by_name[name] = json.loads(json.dumps(dependencies))
        return self._dependencies_by_name[name]


def _identity(subject):
    """Which run a model is from, and which weights of it."""
    return {
        "name": subject.name,
        "run_dir": files.real_path(subject.run_dir),
        **weights_of(subject.run_dir, subject.step),
    }


def _code(question):
    """Hash of all code of this package that a question is answered by."""
    code = hashlib.sha256()
    package = pathlib.Path(hali_tf.__file__).parent
    for file in sources(pathlib.Path(inspect.getfile(type(question))), package):
        code.update(file.read_bytes())
    return code.hexdigest()
