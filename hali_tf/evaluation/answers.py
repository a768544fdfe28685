"""What was answered: NAME.json for each question, valid for what it was asked of."""

import hashlib
import inspect
import json
import os

import hali_tf
from hali_tf.evaluation import registry
from hali_tf.files import write_json
from hali_tf.runs.run_folder import read_starts


class Answers:
    """The answers in an evaluation's folder.

    Args:
      context: `context.Context`.
    """

    def __init__(self, context):
        self._context = context
        self._asked = {}

    def read(self, name):
        """The answer to the question; None if there is none, or one of other models, flags or code."""
        file, asked_of = self._file(name), self._asked_of(name)
        return file["answer"] if file and file["asked_of"] == asked_of else None

    def write(self, name, answer):
        """Keeps an answer."""
        file = {
            "question": registry.module(name).TITLE,
            "asked_of": self._asked_of(name),
            "answer": answer,
        }
        write_json(self._context.path(f"{name}.json"), file)

    def _file(self, name):
        try:
            with open(self._context.path(f"{name}.json"), encoding="utf-8") as f:
                file = json.load(f)
        except (OSError, ValueError):
            return None
        return file if {"asked_of", "answer"} <= file.keys() else None

    def _asked_of(self, name):
        """All that the answer depends on, as it comes back from JSON.

        As of the first call: what changes while a question is answered is not in the answer.
        """
        if name in self._asked:
            return self._asked[name]
        module = registry.module(name)
        inputs = getattr(module, "inputs", lambda context: {})
        asked_of = {
            "hali_tf": hali_tf.__version__,
            "code": _code(module),
            "subjects": [
                {
                    "name": subject.name,
                    "run_dir": os.path.realpath(subject.run_dir),
                    "began": next((start["time"] for start in read_starts(subject.run_dir)), None),
                    "step": subject.step,
                }
                for subject in self._context.subjects
            ],
            "limit": self._context.limit,
            "seed": self._context.seed,
            **inputs(self._context),
        }
        self._asked[name] = json.loads(json.dumps(asked_of))
        return self._asked[name]


def _code(module):
    """Hash of a question's own file: who works on it must not get what it said before."""
    with open(inspect.getsourcefile(module.answer), "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()
