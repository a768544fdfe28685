"""Evaluates a run: the paper's questions, answered with numbers and pictures.

python -m hali_tf.evaluate --run_dir=runs/digits [--only=reconstruction,samples]
    [--baselines=runs/digits_ali,runs/digits_vae] [--limit=4000]

Writes RUN_DIR/evaluation/: NAME.json for each question, pictures, and report.md with all of them;
prints the results. It can be stopped: what was answered for the same checkpoints and flags is not
answered again. Exit code: 0 done, 1 a question failed or data or disk, 2 a flag that cannot work.
"""

import os
import sys
import traceback

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.errors import UsageError, UserError
from hali_tf.evaluation.registry import QUESTIONS


def main():
    """Reads the flags and evaluates."""
    flags = configuration.run_flags()
    if flags.limit < 0:
        raise UsageError(f"--limit={flags.limit}: expected a number of images, or 0 for all")
    only = _list(flags.only)
    for name in only:
        if name not in QUESTIONS:
            raise UsageError(f"--only={name}: no such question; choose of {', '.join(QUESTIONS)}")
    import tensorflow as tf  # after the flags: --help and a wrong flag answer at once

    tf.get_logger().setLevel("ERROR")
    context = open_context(
        flags.run_dir,
        _list(flags.baselines),
        flags.checkpoint,
        flags.limit,
        flags.attribute_classifier,
        flags.mask,
    )
    evaluate(context, only)


def _list(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def open_context(run_dir, baselines=(), checkpoint="last", limit=0, classifier_dir="", mask=""):
    """Loads what an evaluation works on, and makes its folder.

    Args:
      run_dir: folder of the run.
      baselines: folders of runs to compare with.
      checkpoint: "last" or "best", of each run.
      limit: use at most so many held-out images; 0 for all.
      classifier_dir: of the attribute classifier; "" for none.
      mask: PNG file to inpaint by; "" for none.

    Returns:
      `hali_tf.evaluation.context.Context`.

    Raises:
      UserError: a run or its data cannot be used, or the folder not be written.
    """
    from hali_tf.evaluation.context import Context
    from hali_tf.evaluation.subjects import load_subjects
    from hali_tf.runs.reopening import open_data

    subjects = load_subjects(run_dir, baselines, checkpoint)
    folder = os.path.join(run_dir, "evaluation")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error})") from error
    return Context(subjects, open_data(subjects[0].config), folder, limit, classifier_dir, mask)


def evaluate(context, only=()):
    """Answers the questions about a run, writes and prints the results.

    Args:
      context: `hali_tf.evaluation.context.Context`.
      only: names of questions; all that the run can answer by default.

    Raises:
      UserError: an input or a question of `only` is unusable, before anything is computed; or a
        question failed, and the answers to the others are written.
    """
    from hali_tf.evaluation import registry
    from hali_tf.evaluation.answers import Answers
    from hali_tf.evaluation.report import page as report

    for name in only:
        reason = registry.module(name).unanswerable(context)
        if reason:
            raise UserError(f"--only={name}: {context.subject.run_dir} cannot answer: {reason}")
    answers, texts, missing, failed = Answers(context), {}, {}, []
    before = {name: answers.read(name) for name in QUESTIONS}  # reads all inputs: errors come first
    for name, answer in before.items():
        module, note = registry.module(name), " (answered before)"
        if answer is None and only and name not in only:
            missing[name] = "not asked for these checkpoints and flags"
            continue
        try:
            if answer is None:
                reason = module.unanswerable(context)
                if reason:
                    missing[name] = reason
                    print(f"{name}: left out: {reason}")
                    continue
                answers.write(name, module.answer(context))
                answer, note = answers.read(name), ""
                report.show_in_tensorboard(context, module.report(answer))
            texts[name] = module.report(answer)
        except Exception as error:  # whatever it is, the other questions are answered
            if not isinstance(error, UserError):
                traceback.print_exc()
            failed.append(name)
            missing[name] = f"failed: {' '.join(str(error).split()) or type(error).__name__}"
            print(f"{name}: {missing[name]}", file=sys.stderr)
        else:
            print(f"{name}{note}: {report.first_paragraph(texts[name])}")
    report.write_report(context, texts, missing)
    print(f"all of it: {context.path('report.md')}")
    if failed:
        raise UserError(
            f"{', '.join(failed)} failed; the other answers are in {context.folder}, and the same "
            "command asks only what is missing"
        )


if __name__ == "__main__":
    configuration.define_run_flags(
        "hali_tf.evaluate",
        only=("", f"Questions, of {', '.join(QUESTIONS)}; empty: all that the run can answer."),
        baselines=("", "Folders of runs on the same data to compare with: runs/ali,runs/vae."),
        checkpoint=("last", "last or best."),
        limit=(0, "Use at most so many images of a held-out split; 0: all."),
        attribute_classifier=("", "Folder that hali_tf.evaluation.attributes wrote."),
        mask=("", "PNG of a mask to inpaint by, white where to fill, beside the fixed ones."),
    )
    command.run(main, __doc__)
