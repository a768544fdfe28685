"""The project's commands, each in a process of its own."""

import os
import subprocess
import sys


def start(program, *arguments, prefix=(), **environment):
    """`python -m hali_tf.PROGRAM`, under way, behind a `prefix`; `environment` adds variables.

    A program with a dot in its name is a module of that name.
    """
    module = program if "." in program else f"hali_tf.{program}"
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run(program, *arguments, **options):
    """The command, done: its exit code, stdout and stderr."""
    process = start(program, *arguments, **options)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err
