"""Exports a run as a version that TF-Serving loads.

python -m hali_tf.export --run_dir=runs/digits --export_dir=export/hali

Writes EXPORT_DIR/<version>/, whole or not at all: a SavedModel of the averaged weights in float32
with the signatures encode, decode, decode_latents, reconstruct, sample and, where the data can be
read and has labels, classify and classify_examples (a run of --encoder_only has encode and these
two alone, since its decoder has learned nothing); warm-up requests and a model card in
assets.extra/.
"""

from __future__ import annotations

import os
import shlex

from hali_tf import command, files
from hali_tf import config as configuration
from hali_tf.errors import UsageError, UserError


def main() -> None:
    """Reads the flags and exports."""
    flags = configuration.run_flags()
    if not flags.export_dir:
        raise UsageError("--export_dir is empty; name the folder that the server is to watch")
    if not 0 <= flags.version < 2**63:
        raise UsageError(
            f"--version={flags.version}: expected a positive number below 2^63, or 0 for the next"
        )
    configuration.check("classify", flags.classify, {"one_of": ("auto", "true", "false")})
    command.import_tensorflow()
    from hali_tf.runs.checkpoints import is_pattern
    from hali_tf.training import devices

    if is_pattern(os.path.abspath(flags.export_dir)):
        raise UsageError(
            f"--export_dir={flags.export_dir}: TensorFlow cannot read a model below a folder with "
            "[, *, ? or \\ in its name; choose another"
        )
    devices.choose(flags.device)
    path = export(
        flags.run_dir,
        flags.export_dir,
        flags.version,
        flags.checkpoint,
        flags.data_dir,
        flags.cache_dir,
        flags.classify,
    )
    print(f"exported {path}")
    if files.scheme(path):  # the server of the project reads disks
        server, folder = "tensorflow_model_server", flags.export_dir
    else:
        server, folder = "python -m serving.server", os.path.abspath(flags.export_dir)
    # The client asks for hali if it is told no other.
    arguments = shlex.join([f"--model_base_path={folder}", "--model_name=hali"])
    print(f"serve it: {server} {arguments}")


def export(
    run_dir: str,
    export_dir: str,
    version: int = 0,
    checkpoint: str = "last",
    data_dir: str = "",
    cache_dir: str = "",
    classify: str = "auto",
) -> str:
    """Exports a run; returns the path of the version.

    Args:
      run_dir: folder of the run.
      export_dir: folder that the server watches.
      version: positive integer, or 0 for the next free one.
      checkpoint: "last" or "best".
      data_dir: where the run's data are now; "" for where they were in training.
      cache_dir: where decoded images are kept; "" for where they were in training.
      classify: "true", "false", or "auto": where the data can be read and have labels.

    Raises:
      UserError: the run has no checkpoint, the version cannot be written, another export works in
        the folder, or with `classify` "true" the data cannot be read or have no labels.
    """
    from hali_tf.data.crops import own_boxes
    from hali_tf.exporting import version as versions
    from hali_tf.exporting.servable import Servable
    from hali_tf.runs.lock import locked
    from hali_tf.runs.reopening import load_run

    versions.check_free(export_dir, version)
    config, model = load_run(run_dir, checkpoint)
    with locked(export_dir, "export_dir"):  # before the classifier, which takes minutes
        head, accuracy = _classifier(config, model, data_dir, cache_dir, classify)
        card = _card(run_dir, config, model, checkpoint, accuracy)
        servable = Servable(
            model.average,
            head,
            own_boxes(config.data.name),
            decodes=not config.labels.encoder_only,
        )
        return versions.write(servable, export_dir, version, card)


def _card(run_dir, config, model, checkpoint, accuracy):
    """What model_card.json says of the run."""
    from hali_tf.runs.history import read_starts
    from hali_tf.runs.run_folder import read_summary

    starts = read_starts(run_dir)
    return {
        "model": f"{config.model.kind} ({config.model.architecture}, width {config.model.width})",
        "step": int(model.step.numpy()),
        "checkpoint": checkpoint,
        "levels": model.num_levels,
        "classify_test_accuracy": None,
        **{f"classify_{name}_accuracy": value for name, value in accuracy.items()},
        "metrics": read_summary(run_dir, int(model.step.numpy())),
        "config": config.flat(),
        "training": starts[-1] if starts else None,
    }


def _classifier(config, model, data_dir, cache_dir, classify):
    """What `classifier.of_run` gives, or (None, {}); says which."""
    from hali_tf.exporting import classifier
    from hali_tf.runs.reopening import open_data

    if classify == "false":
        return None, {}
    try:
        source = open_data(config, data_dir, cache_dir)
        head, accuracy = classifier.of_run(config, source, model.average)
    except UserError as error:
        if classify == "true":
            raise
        print(f"no classify: {error}")
        return None, {}
    for name, value in accuracy.items():
        print(f"classify: {name} accuracy {value:.4f}")
    return head, accuracy


if __name__ == "__main__":
    configuration.define_run_flags(
        "hali_tf.export",
        export_dir=("", "Folder that the server watches; the version becomes a folder in it."),
        version=(0, "Number of the version; 0 takes the next free one."),
        **configuration.DATA_FLAGS,
        classify=(
            "auto",
            "Whether to fit classify to the run's data, which no other signature needs: true, "
            "false, or auto: where the data can be read and have labels.",
        ),
    )
    command.run(main, __doc__)
