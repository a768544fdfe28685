"""Evaluates a run on its test images.

python -m hali_tf.evaluate --run_dir=runs/digits

Writes RUN_DIR/evaluation/: reconstruction.json (per-pixel error of each level, beside that of
random pairs of images), reconstructions.png and samples.png, and prints the numbers.
"""

import os

from hali_tf import command
from hali_tf import config as configuration


def main():
    """Reads the flags, evaluates, prints."""
    flags = configuration.run_flags()
    from hali_tf.evaluation import figures, reconstruction
    from hali_tf.files import write_json
    from hali_tf.training import run

    config, model = run.load_run(flags.run_dir, flags.checkpoint)
    test = run.open_data(config).load("test")
    folder = os.path.join(flags.run_dir, "evaluation")
    os.makedirs(folder, exist_ok=True)
    errors = reconstruction.errors(model, test, progress=True)
    result = {"step": int(model.step.numpy()), "images": len(test.images), **errors}
    write_json(os.path.join(folder, "reconstruction.json"), result)
    for name, image in figures.draw(model, test.images[:16]).items():
        figures.save_png(os.path.join(folder, f"{name}.png"), image)
    print(reconstruction.table(config.data, result))
    print(f"written to {folder}")


if __name__ == "__main__":
    configuration.define_run_flags("hali_tf.evaluate", checkpoint=("last", "last or best."))
    command.run(main, __doc__)
