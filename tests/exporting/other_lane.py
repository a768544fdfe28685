"""What tests/exporting/test_other_lane.py has the Python of the other lane do.

python -m tests.exporting.other_lane make RUN         makes a run folder
python -m tests.exporting.other_lane use RUN OUT.npz  writes what the run's model gives
python -m tests.exporting.other_lane export RUN DIR   exports the run
"""

import sys

import numpy as np

import hali_tf  # noqa: F401  (quiet TensorFlow logs, before TensorFlow is imported)


def outputs(folder):
    """Latents and images that the model of a run gives for fixed inputs, by name."""
    from hali_tf.runs.reopening import load_run

    _, model = load_run(folder)
    images = np.random.default_rng(2).integers(0, 256, (9, *model.image_shape)).astype(np.uint8)
    found = {"sample": model.sample(np.arange(5)), "features": model.discriminator_features(images)}
    for level, q in enumerate(model.encode(images), start=1):
        found[f"mean_{level}"], found[f"stddev_{level}"] = q.mean, q.stddev
        found[f"reconstruction_{level}"] = model.reconstruct(images, level)
    return {name: np.asarray(value) for name, value in found.items()}


if __name__ == "__main__":
    from hali_tf.export import export
    from tests.exporting.runs import make_run

    verb, run, *rest = sys.argv[1:]
    if verb == "make":
        make_run(run)
    elif verb == "use":
        np.savez(rest[0], **outputs(run))
    elif verb == "export":
        export(run, rest[0])
