"""The project's commands, each in a process of its own."""

import os
import subprocess
import sys


def start(program, *arguments, **environment):
    """`python -m hali_tf.PROGRAM`, under way; `environment` adds variables."""
    return subprocess.Popen(
        [sys.executable, "-m", f"hali_tf.{program}", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run(program, *arguments, **environment):
    """The command, done: its exit code, stdout and stderr."""
    process = start(program, *arguments, **environment)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err
