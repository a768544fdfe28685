"""Exports a run as a version that TF-Serving loads.

python -m hali_tf.export --run_dir=runs/digits --export_dir=export/hali

Writes EXPORT_DIR/<version>/, whole or not at all: a SavedModel of the averaged weights in float32
with the signatures encode, decode, reconstruct, sample and, where the data has labels, classify
and classify_examples; warm-up requests and a model card in assets.extra/.
"""

from __future__ import annotations

import os

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.errors import UsageError
from hali_tf.files import read_json


def main() -> None:
    """Reads the flags and exports."""
    flags = configuration.run_flags()
    if not flags.export_dir:
        raise UsageError("--export_dir is empty; name the folder that the server is to watch")
    if flags.version < 0:
        raise UsageError(
            f"--version={flags.version}: expected a positive number, or 0 for the next"
        )
    command.import_tensorflow()
    path = export(flags.run_dir, flags.export_dir, flags.version, flags.checkpoint)
    print(f"exported {path}")
    print(
        f"serve it: python -m serving.server --model_base_path={os.path.abspath(flags.export_dir)}"
    )


def export(run_dir: str, export_dir: str, version: int = 0, checkpoint: str = "last") -> str:
    """Exports a run; returns the path of the version.

    Args:
      run_dir: folder of the run.
      export_dir: folder that the server watches.
      version: positive integer, or 0 for the next free one.
      checkpoint: "last" or "best".

    Raises:
      UserError: the run has no checkpoint, its data cannot be read, the version cannot be written.
    """
    from hali_tf.exporting import classifier
    from hali_tf.exporting import version as versions
    from hali_tf.exporting.servable import Servable
    from hali_tf.runs.reopening import load_run, open_data
    from hali_tf.runs.run_folder import read_starts

    config, model = load_run(run_dir, checkpoint)
    source = open_data(config)
    train = source.load("train")
    head, accuracy = None, None
    if train.labels is None:
        print(f"{config.data.name} has no labels: no classify")
    else:
        if config.labels.per_class:
            names = source.label_names or [str(i) for i in range(config.labels.classes)]
            head, words = classifier.OwnLabel(names), "the model's own label"
        else:
            head = classifier.fit(model.average, source, train)
            words = "linear on the encoder's features"
        accuracy = classifier.accuracy(model.average, head, source.load("test"))
        print(f"classify: {words}, test accuracy {accuracy:.4f}")
    starts = read_starts(run_dir)
    card = {
        "model": f"{config.model.kind} ({config.model.architecture}, width {config.model.width})",
        "step": int(model.step.numpy()),
        "checkpoint": checkpoint,
        "levels": model.num_levels,
        "classify_test_accuracy": accuracy,
        "metrics": read_json(os.path.join(run_dir, "summary.json")),
        "config": config.flat(),
        "training": starts[-1] if starts else None,
    }
    crop = (15, 35, 148, 178, 218) if config.data.name == "celeba" else None
    servable = Servable(model.average, head, crop)
    return versions.write(servable, export_dir, version, "hali", card)


if __name__ == "__main__":
    configuration.define_run_flags(
        "hali_tf.export",
        export_dir=("", "Folder that the server watches; the version becomes a folder in it."),
        version=(0, "Number of the version; 0 takes the next free one."),
        checkpoint=("last", "last or best."),
    )
    command.run(main, __doc__)
