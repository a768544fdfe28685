"""absl's flags: defined from records of settings, and read into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from absl import flags

from hali_tf import command, files
from hali_tf.config.classifier import ClassifierConfig
from hali_tf.config.groups import DEVICE_HELP
from hali_tf.config.settings import Settings, check, entries
from hali_tf.config.training import Config
from hali_tf.errors import UsageError

_DEFINE: dict[type, Callable[..., Any]] = {
    str: flags.DEFINE_string,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    list: flags.DEFINE_list,
}
# Of commands that read a run's data again.
DATA_FLAGS = {
    "data_dir": ("", "Where the run's data are now, if no longer where they were in training."),
    "cache_dir": ("", "Where decoded images are kept; empty: as in training."),
}
_Checked = TypeVar("_Checked", Config, ClassifierConfig)


def define(module: str, **named: tuple[Any, str]) -> None:
    """Defines flags, name=(default, help), of the command `module`; the default has their type."""
    for name, (default, help_text) in named.items():
        _DEFINE[type(default)](name, default, help_text, module_name=module)


def define_flags(record: type[Settings], module: str) -> None:
    """Defines a flag for each setting of a record; `module` is the command that has them."""
    settings = entries(record)
    define(module, **{flag: (default, field.metadata["help"]) for flag, field, default in settings})


def from_flags(record: type[_Checked]) -> _Checked:
    """Returns the validated `Config` or `ClassifierConfig` of the command line.

    Raises:
      UsageError: a flag, or two together, cannot work.
    """
    values = {flag: flags.FLAGS[flag].value for flag, _, _ in entries(record)}
    return record.of(**values).validate()


def define_run_flags(module: str, **extra: tuple[Any, str]) -> None:
    """Defines the flags of a command on a run folder.

    They are --run_dir, --checkpoint, --device, and `extra` ones, name=(default, help).
    """
    define(
        module,
        run_dir=("", "Folder of the run, as given to hali_tf.train."),
        checkpoint=("last", "Weights of the run: last or best."),
        device=("auto", DEVICE_HELP),
        **extra,
    )


def run_flags(instead: str = "") -> flags.FlagValues:
    """Returns the values of the defined flags as a namespace, --run_dir checked.

    Args:
      instead: a flag that, where it has a value, needs no --run_dir.

    Raises:
      UsageError: --run_dir is empty or no folder, --checkpoint neither last nor best; a flag names
        a remote path that cannot be opened.
    """
    run_dir = flags.FLAGS.run_dir
    check_remote()
    if instead and flags.FLAGS[instead].value:
        return flags.FLAGS
    if not run_dir or not files.is_folder(run_dir):
        other = f", or --{instead}" if instead else ""
        raise UsageError(
            f"--run_dir={run_dir}: no such folder; expected a folder that hali_tf.train made{other}"
        )
    check("checkpoint", flags.FLAGS.checkpoint, {"one_of": ("last", "best")})
    return flags.FLAGS


def refuse_beside(other: str, names: Iterable[str]) -> None:
    """Raises UsageError if one of the flags `names` is given beside `other`, which ignores it."""
    for name in names:
        if flags.FLAGS[name].present:
            raise UsageError(
                f"--{name} with --{other}, which has no use for it; drop one of the two"
            )


def check_remote() -> None:
    """Raises UsageError if a flag names a file or folder on an object store out of reach."""
    values = flags.FLAGS.flag_values_dict()
    values.pop("target", None)  # a server, in gRPC's words, such as dns:///host:8500
    for name, value in values.items():
        for path in str(value).split(","):
            if files.scheme(path):
                command.import_tensorflow()
                try:
                    files.check_scheme(path)
                except OSError as error:
                    raise UsageError(f"--{name}={path}: {error.strerror}") from error
