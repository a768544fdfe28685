"""Runs commands of hali_tf one after the other in this process, in which ram:// lives.

Standard input is a JSON list of lists, each of a program's name and arguments; beside the programs,
`copy FROM TO` of a folder's files and `stop PROGRAM ...`, which is asked to stop at its second
checkpoint. Standard output is a JSON list of exit code, output and errors of each.
"""

import contextlib
import io
import json
import os
import runpy
import signal
import sys
import traceback

from absl import app, flags, logging  # noqa: F401  (they define flags as well)

import hali_tf  # noqa: F401  (quiet TensorFlow logs)


def main():
    """Runs what standard input lists."""
    commands, answers = json.load(sys.stdin), []
    for program, *arguments in commands:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = OWN.get(program, run)(*([] if program in OWN else [program]), *arguments)
        answers.append([code, out.getvalue(), err.getvalue()])
    json.dump(answers, sys.stdout)


def run(program, *arguments):
    """Runs `python -m hali_tf.PROGRAM`; returns its exit code."""
    flags.FLAGS.remove_flag_values([name for name in flags.FLAGS if name not in BEFORE])
    sys.argv = [program, *arguments]
    try:
        runpy.run_module(f"hali_tf.{program}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return "traceback"


def copy(source, target):
    """Copies the files below a folder to another one."""
    from tensorflow.io import gfile

    for folder, _, names in gfile.walk(source):
        for name in names:
            path = os.path.join(folder, name)
            copied = os.path.join(target, os.path.relpath(path[len(source) :].strip("/"), "."))
            if gfile.exists(path):  # ram:// lists `assets.extra` in `assets`, too
                gfile.makedirs(os.path.dirname(copied))
                gfile.copy(path, copied, overwrite=True)
    return 0


def stop(*arguments):
    """Runs a program that gets SIGTERM when it has written its second checkpoint."""
    from hali_tf.runs.checkpoints import Checkpoints

    save, saves = Checkpoints.save, []

    def counted(self, which="last"):
        save(self, which)
        saves.append(which)
        if saves.count("last") == 2:
            signal.raise_signal(signal.SIGTERM)

    Checkpoints.save = counted
    try:
        return run(*arguments)
    finally:
        Checkpoints.save = save


OWN = {"copy": copy, "stop": stop}
BEFORE = set(flags.FLAGS)

if __name__ == "__main__":
    main()
