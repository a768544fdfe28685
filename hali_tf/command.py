"""What the project's commands share: parsing, one-line errors, exit codes."""

from __future__ import annotations

import functools
import io
import os
import signal
import sys
import types
from collections.abc import Callable

from absl import app, flags, logging

from hali_tf.errors import UserError, reason


def run(main: Callable[..., None], description: str, positional: bool = False) -> None:
    """Runs a command's `main` and exits: 0 done, 1 an error, 2 a wrong flag, 128 + a signal.

    Args:
      main: returns nothing; flags are parsed when it is called.
      description: the head of --help.
      positional: whether there may be arguments that are no flags; `main` is called with them.
    """
    sys.modules["__main__"].__doc__ = description
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):  # a terminal may lack a letter of a path or a report
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app.run(
        lambda arguments: sys.exit(_guarded(main, arguments[1:])),
        flags_parser=functools.partial(_parse, positional=positional),
    )


def _parse(arguments, positional):
    if {"--help", "-help", "--helpshort", "-h"} & set(arguments):
        _print_help()
        sys.exit(0)
    try:
        rest = flags.FLAGS(arguments)
    except (flags.Error, UnicodeError) as error:  # the second of a --flagfile that is no text
        _complain(" ".join(str(error).split()))
        sys.exit(2)
    for name, value in flags.FLAGS.flag_values_dict().items():
        if isinstance(value, str) and "~" in value:  # neither shells nor flagfiles do it
            paths = (os.path.expanduser(part.strip()) for part in value.split(","))
            flags.FLAGS[name].value = ",".join(paths)
    if len(rest) > 1 and not positional:
        _complain(f"{rest[1]}: not a flag; expected --name=value (see --help)")
        sys.exit(2)
    return rest


def _print_help():
    """Prints the command's description and its flags; absl would look for them by file name."""
    print(sys.modules["__main__"].__doc__)
    for module in sorted(flags.FLAGS.flags_by_module_dict()):
        if module.startswith(("hali_tf", "serving")):
            print(flags.FLAGS.module_help(module))


def _guarded(main, arguments):
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as hali_tf/__init__.py left it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main(*arguments)
    except UserError as error:
        _complain(error)
        return error.exit_code
    except OSError as error:  # standard output has no name
        _complain(f"{error.filename or 'standard output'}: {reason(error)}")
        return 1
    except KeyboardInterrupt:
        _complain("stopped by SIGINT")
        return 130
    return 0


def _complain(error):
    print(f"hali_tf: {error}", file=sys.stderr)


def import_tensorflow() -> types.ModuleType:
    """Imports TensorFlow and returns it; its warnings in Python are off.

    TensorFlow 2.21 writes notes to standard error as it is loaded, whatever TF_CPP_MIN_LOG_LEVEL
    says; they would bury the command's own lines. An error is an exception and is not hidden.
    """
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow
