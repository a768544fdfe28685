"""The evaluation command: real questions on small runs, and stops, failures and restarts."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from hali_tf import evaluate
from hali_tf.config import Config
from hali_tf.data import Split, open_source
from hali_tf.errors import UserError
from hali_tf.evaluation import answer_cache
from hali_tf.evaluation.context import Context
from hali_tf.evaluation.question import Question
from hali_tf.evaluation.registry import QUESTIONS
from hali_tf.evaluation.subjects import Subject
from hali_tf.runs import lock
from tests.commands import run
from tests.exporting.runs import make_run


def command(*flags, browser="echo opens %s"):
    """The command, done: its exit code, stdout and stderr."""
    return run("evaluate", *flags, BROWSER=browser)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of a small HALI and a small ALI on the digits."""
    folder = tmp_path_factory.mktemp("evaluate")
    return [make_run(folder / name, width=0.01, model=name) for name in ("hali", "ali")]


@pytest.fixture(scope="module")
def evaluated(runs):
    """Folder of the evaluation of the first run beside the second, and what the command printed."""
    flags = f"--run_dir={runs[0]}", f"--baselines={runs[1]}", "--limit=12", "--open"
    code, out, err = command(*flags)
    assert code == 0, err
    return f"{runs[0]}/evaluation", out


def read(folder, name):
    with open(f"{folder}/{name}", encoding="utf-8") as f:
        return json.load(f) if name.endswith(".json") else f.read()


def test_every_question_has_its_answer(evaluated):
    folder, out = evaluated
    reconstruction = read(folder, "reconstruction.json")
    assert reconstruction["question"] == "Reconstruction (section 5.1)"
    assert [s["name"] for s in reconstruction["asked_of"]["subjects"]] == ["HALI", "ALI"]
    assert list(reconstruction["answer"]["rows"]) == ["HALI z_1", "HALI z_2", "ALI"]
    assert reconstruction["answer"]["images"] == 12
    assert list(read(folder, "samples.json")["answer"]["rows"]) == [
        "held-out images",
        "HALI",
        "ALI",
    ]
    perceptual = read(folder, "perceptual.json")["answer"]
    assert 0 < perceptual["rows"]["z_1"]["distance"] and perceptual["rows"]["random pairs"]
    for name in QUESTIONS:
        assert f"\n{name}: " in f"\n{out}"


def test_report_has_all_tables_and_pictures(evaluated):
    folder, out = evaluated
    report = read(folder, "report.md")
    assert f"the whole report: {folder}/report.html" in out
    headings = re.findall("^## (.*)$", report, re.MULTILINE)
    unanswered = ("attributes", "labels")  # digits have no attributes, and the run used no labels
    answered = [name for name in QUESTIONS if name not in unanswered]
    titles = [QUESTIONS[name].title for name in answered]
    assert headings == ["Summary", *titles, "Not answered"]
    summary = report.partition("## Summary\n\n")[2].partition("\n\n## ")[0]
    assert summary.splitlines()[0] in out
    statements = [claim for question in QUESTIONS.values() for claim in question.claims.values()]
    assert all(f" {statement} |" in summary for statement in statements)
    assert "the data has no attributes" in report
    assert "Data: digits, 16x16x1, at most 12 of a split." in report
    rmse = read(folder, "reconstruction.json")["answer"]["rows"]["ALI"]["rmse"]
    assert f"| ALI | {rmse:.4g}" in report
    pictures = re.findall(r"\]\((.*?)\)", report)
    assert {"reconstruction.png", "samples_hali.png", "nearest_ali.png"} <= set(pictures)
    for picture in pictures:
        with open(f"{folder}/{picture}", "rb") as f:
            assert f.read(4) == b"\x89PNG"


def test_report_as_html_has_the_same_and_is_opened(evaluated):
    folder, out = evaluated
    page, report = read(folder, "report.html"), read(folder, "report.md")
    assert page.count('src="data:image/png;base64,') == report.count(".png)")
    assert page.count("<table>") == report.count("\n| --- |")
    for heading in re.findall("^## (.*)$", report, re.MULTILINE):
        assert f">{heading}</h2>" in page
    assert f"opens file://{folder}/report.html" in out


def test_pictures_are_in_tensorboard(evaluated, runs):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(f"{runs[0]}/logs", size_guidance={"tensors": 0})
    events.Reload()
    tags = set(events.Tags()["tensors"])
    assert {"evaluation/reconstruction", "evaluation/samples_ali"} <= tags
    assert [event.step for event in events.Tensors("evaluation/reconstruction")] == [0]


def test_help_names_every_question():
    code, out, _ = command("--help")
    assert code == 0
    assert ", ".join(QUESTIONS) in " ".join(out.split())


def test_wrong_flags_are_one_line(runs):
    for flag, words in (
        ("--only=reconstruct", "--only=reconstruct: no such question; choose of reconstruction, "),
        ("--limit=-1", "--limit=-1: expected 2 images or more"),
        ("--limit=1", "--limit=1: expected 2 images or more"),
        ("--checkpoint=first", "--checkpoint=first: expected one of last, best"),
        ("--attribute_classifier=/nope", "--attribute_classifier=/nope: has no classifier.json"),
    ):
        code, out, err = command(f"--run_dir={runs[0]}", flag)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert words in err


class Asked(Question):
    """A question that counts how often it is answered.

    Args:
      name: in its title and its report.
      calls: a list that gets the name at each answer.
      **members: functions in place of the methods.
    """

    def __init__(self, name, calls, **members):
        self.title = f"About {name}"
        self._name, self._calls = name, calls
        vars(self).update(members)

    def answer(self, context):
        self._calls.append(self._name)
        return {"seen": len(context.split("test").images), 1: float(np.pi)}

    def report(self, answer):
        return f"{self._name} saw {answer['seen']}.\n\nAnd pi is {answer['1']:.2f}."


@pytest.fixture
def context(tmp_path):
    """Of a model that nobody asks anything, at step 3, begun at one o'clock, with the digits."""
    folder = tmp_path / "run" / "evaluation"
    folder.mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text('[{"time": "01:00"}, {"time": "02:00"}]')
    config = Config.of(architecture="hali16")
    model = types.SimpleNamespace(step=tf.Variable(3))
    subject = Subject("HALI", str(tmp_path / "run"), config, model)
    return Context((subject,), open_source("digits"), str(folder))


@pytest.fixture
def ask(context):
    """Function that evaluates with questions made by hand, --only and the context."""

    def evaluated(questions, only=(), context=context):
        evaluate.evaluate(context, questions, only)
        with open(context.path("report.md"), encoding="utf-8") as f:
            return f.read()

    return evaluated


def test_answered_questions_are_not_answered_again(ask, capsys):
    calls = []
    questions = {name: Asked(name, calls) for name in ("one", "two")}
    first = ask(questions)
    assert calls == ["one", "two"]
    assert "one: one saw 250.\n" in capsys.readouterr().out
    assert ask(questions) == first
    assert calls == ["one", "two"]
    assert "one (answered before): one saw 250.\n" in capsys.readouterr().out
    assert "## About two\n\ntwo saw 250.\n\nAnd pi is 3.14.\n" in first


def test_other_limit_and_inputs_answer_anew(ask, context):
    calls, classifier = [], ["a"]
    questions = {
        "one": Asked("one", calls),
        "two": Asked("two", calls, inputs=lambda context: {"classifier": classifier}),
    }
    ask(questions)
    classifier[0] = "b"
    ask(questions)
    assert calls == ["one", "two", "two"]
    assert "one saw 5." in ask(questions, context=dataclasses.replace(context, limit=5))
    assert calls[3:] == ["one", "two"]


def test_other_images_in_the_same_place_answer_anew(ask, context):
    def inverted(name):
        split = context.source.load(name)
        return Split(255 - split.images, split.labels)

    source = dataclasses.replace(context.source, loader=inverted)
    calls = []
    questions = {"one": Asked("one", calls)}
    ask(questions)
    ask(questions, context=dataclasses.replace(context, source=source))
    assert calls == ["one", "one"]


def test_what_changes_while_a_question_is_answered_is_not_in_its_answer(ask):
    calls, classifier = [], ["a"]

    def answer(context):
        calls.append(classifier[0])
        classifier[0] = "b"
        return {"seen": 1, 1: 2.0}

    inputs = {"inputs": lambda context: {"classifier": classifier[0]}}
    for _ in range(3):
        ask({"one": Asked("one", calls, answer=answer, **inputs)})
    assert calls == ["a", "b"]


def test_a_stopped_question_leaves_no_answer_of_other_pictures(ask, context):
    def stopped(context):
        raise OSError("No space left on device")

    calls = []
    ask({"one": Asked("one", calls)})
    other = dataclasses.replace(context, limit=5)
    with pytest.raises(UserError, match="one failed"):
        ask({"one": Asked("one", calls, answer=stopped)}, context=other)
    ask({"one": Asked("one", calls)})
    assert calls == ["one", "one"]


def test_the_same_step_after_a_way_back_answers_anew(ask, context):
    calls = []
    ask({"one": Asked("one", calls)})
    pathlib.Path(context.subject.run_dir, "rollbacks.json").write_text('[{"at": 4, "to": 1}]')
    ask({"one": Asked("one", calls)})
    assert calls == ["one", "one"]


def test_other_names_of_classes_answer_anew(ask, context):
    calls = []
    questions = {"one": Asked("one", calls)}
    ask(questions)
    source = dataclasses.replace(context.source, label_names=tuple("abcdefghij"))
    ask(questions, context=dataclasses.replace(context, source=source))
    assert calls == ["one", "one"]


def test_other_code_answers_anew(ask, monkeypatch):
    calls, code = [], [pathlib.Path(__file__)]
    monkeypatch.setattr(answer_cache, "sources", lambda file, package: code)
    for _ in range(2):
        ask({"one": Asked("one", calls)})
    code.append(pathlib.Path(evaluate.__file__))
    ask({"one": Asked("one", calls)})
    assert calls == ["one", "one"]


def test_other_checkpoints_and_baselines_answer_anew(ask, context, tmp_path):
    calls, run = [], context.subject
    questions = {"one": Asked("one", calls)}
    ask(questions)
    run.model.step.assign(4)
    ask(questions)
    assert len(calls) == 2
    shutil.copytree(run.run_dir, tmp_path / "ali")
    ali = dataclasses.replace(run, name="ALI", run_dir=str(tmp_path / "ali"))
    both = dataclasses.replace(context, subjects=(run, ali))
    ask(questions, context=both)
    ask(questions, context=both)
    assert len(calls) == 3
    # Trained anew, in the same folder and for as many steps.
    (tmp_path / "ali" / "run.json").write_text('[{"time": "03:00"}]')
    ask(questions, context=both)
    assert len(calls) == 4


def test_stopped_evaluation_goes_on_with_what_is_missing(ask):
    calls = []

    def stop(context):
        raise KeyboardInterrupt

    one, two = (Asked(name, calls) for name in ("one", "two"))
    with pytest.raises(KeyboardInterrupt):
        ask({"one": one, "two": Asked("two", calls, answer=stop)})
    report = ask({"one": one, "two": two})
    assert calls == ["one", "two"]
    assert "one saw 250." in report and "two saw 250." in report


@pytest.mark.parametrize("error", [ValueError("no\nway"), UserError("no way")])
def test_failing_question_loses_no_other(ask, context, capsys, error):
    calls = []

    def fail(context):
        raise error

    questions = {
        "one": Asked("one", calls, answer=fail),
        "two": Asked("two", calls),
    }
    with pytest.raises(UserError, match="^one failed; the other answers are in"):
        ask(questions)
    assert calls == ["two"]
    with open(context.path("report.md"), encoding="utf-8") as f:
        report = f.read()
    assert "two saw 250." in report and "- one: failed: no" in report
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, ValueError)


def test_question_that_cannot_be_answered_is_left_out_with_the_reason(ask, capsys):
    calls = []
    questions = {
        "one": Asked("one", calls, unanswerable=lambda context: "the data has no attributes"),
        "two": Asked("two", calls),
    }
    report = ask(questions)
    assert calls == ["two"]
    assert "one: left out: the data has no attributes\n" in capsys.readouterr().out
    assert "- one: the data has no attributes\n" in report
    with pytest.raises(
        UserError, match="^--only=one: .* cannot answer: the data has no attributes"
    ):
        ask(questions, only=["two", "one"])


def test_only_asks_what_is_named_and_keeps_the_rest(ask):
    calls = []
    questions = {name: Asked(name, calls) for name in ("one", "two", "three")}
    report = ask(questions, only=["two"])
    assert calls == ["two"]
    assert "- one: not asked" in report
    ask(questions, only=["one"])
    assert "two saw 250." in ask(questions, only=["one"])
    assert calls == ["two", "one"]


def test_folder_that_cannot_be_written_is_named(runs, tmp_path):
    shutil.copytree(runs[1], tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    (tmp_path / "run" / "evaluation").write_text("in the way")
    with pytest.raises(UserError, match="evaluation: cannot be written"):
        evaluate.open_context(str(tmp_path / "run"))


def test_one_evaluation_of_a_run_at_a_time(runs):
    with lock.locked(f"{runs[1]}/evaluation"):
        code, _, err = command(f"--run_dir={runs[1]}", "--only=reconstruction")
    assert code == 1 and "works in this folder; wait for it" in err.splitlines()[-1]


def test_unusable_input_is_refused_before_anything_is_computed(ask):
    calls = []

    def unusable(context):
        raise UserError("--mask=a.png: all white")

    with pytest.raises(UserError, match="^--mask=a.png"):
        ask({"one": Asked("one", calls), "two": Asked("two", calls, inputs=unusable)})
    assert calls == []


def test_an_answer_without_its_picture_is_asked_again(ask, context):
    calls = []

    def answer(context):
        calls.append("one")
        Image.new("RGB", (2, 2)).save(context.path("one.png"))
        return {"picture": "one.png"}

    def report(answer):
        return "One.\n\n![Two by two](one.png)"

    questions = {"one": Asked("one", calls, answer=answer, report=report)}
    for _ in range(2):
        ask(questions)
    assert calls == ["one"]
    os.remove(context.path("one.png"))
    ask(questions)
    assert calls == ["one", "one"]


def test_a_report_that_cannot_be_written_is_one_line(ask, context):
    os.mkdir(context.path("report.html"))
    with pytest.raises(UserError, match=f"{context.folder}: cannot be written"):
        ask({"one": Asked("one", [])})


def test_damaged_answer_is_asked_again(ask, context):
    calls = []
    ask({"one": Asked("one", calls)})
    with open(context.path("one.json"), "w", encoding="utf-8") as f:
        f.write('{"answer": ')
    ask({"one": Asked("one", calls)})
    assert calls == ["one", "one"]
