"""The models of an evaluation, from their run folders: the run's own, and the baselines."""

import os

from hali_tf.errors import UsageError, UserError
from hali_tf.evaluation.context import Subject
from hali_tf.runs.reopening import load_run

# Where --data names no certain images.
_DATA_IN_A_FOLDER = ("folder", "npz")


def load_subjects(run_dir, baselines, checkpoint):
    """Restores the models.

    Args:
      run_dir: of the run.
      baselines: run folders to compare with.
      checkpoint: "last" or "best", of each.

    Returns:
      Tuple of `Subject`, the run's own first.

    Raises:
      UserError: a run has no checkpoint, or another model's, or a baseline has other data.
    """
    run_dirs = [run_dir, *baselines]
    places = [os.path.realpath(path) for path in run_dirs]
    for i, path in enumerate(run_dirs):
        if places[i] in places[:i]:
            raise UsageError(f"--baselines={path}: named twice, or the run itself; name each once")
    loaded = [load_run(path, checkpoint) for path in run_dirs]
    own = _data(loaded[0][0])
    for path, (config, _) in zip(baselines, loaded[1:]):
        theirs = _data(config)
        if theirs != own:
            raise UserError(
                f"--baselines={path}: has {_in_words(theirs)}, but {run_dir} has {_in_words(own)}; "
                "name runs on the same images"
            )
    names = _names(run_dirs, [config.model.kind.upper() for config, _ in loaded])
    return tuple(
        Subject(name, path, config, model)
        for name, path, (config, model) in zip(names, run_dirs, loaded)
    )


def _data(config):
    """The flags that say which images a run has."""
    names = ["data", "image_size", "channels"]
    if config.data.name in _DATA_IN_A_FOLDER:
        names.append("data_dir")
    values = config.flat()
    return {name: values[name] for name in names}


def _in_words(flags):
    return " ".join(f"--{name}={value}" for name, value in flags.items())


def _names(run_dirs, models):
    """A name for each subject, as short as tells them apart."""
    folders = [os.path.basename(os.path.normpath(path)) for path in run_dirs]
    forms = [
        models,
        [
            f"{model} {folder}" if models.count(model) > 1 else model
            for model, folder in zip(models, folders)
        ],
        [f"{model} {path}" for model, path in zip(models, run_dirs)],
    ]
    return next(names for names in forms if len(set(names)) == len(names))
