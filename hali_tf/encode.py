"""Encodes images: latents of all levels, reconstructions and labels, in files.

python -m hali_tf.encode --run_dir=RUN [--split=test | --data=... | IMAGE ...] --out=FILE|FOLDER

Images are a split of the run's own image set, of another one (--data), or picture files; a folder
stands for the pictures in it. FILE ends in .npz, .tfrecord or .parquet. In a FOLDER there is a file
for each --shard_size images, and the same command again makes only those that are missing. Arrays:
z_1, z_2, ..., reconstruction_1, ..., and index and label, or path.

  python -m hali_tf.encode --run_dir=runs/digits --split=train --out=latents
  python -m hali_tf.encode --run_dir=runs/faces me.jpg you.png --out=us.npz
"""

from __future__ import annotations

from hali_tf import command
from hali_tf import config as configuration
from hali_tf.bulk import flags as bulk_flags
from hali_tf.errors import UsageError

_SPLITS = ("train", "validation", "test")


def main(*pictures: str) -> None:
    """Reads the flags, encodes, says where."""
    flags, target = bulk_flags.read()
    configuration.check("split", flags.split, {"one_of": _SPLITS})
    for name in ("data", "data_dir", "cache_dir", "split"):
        if pictures and flags[name].present:
            raise UsageError(f"--{name}: {pictures[0]} is named too; choose one")
    command.import_tensorflow()
    from hali_tf.bulk import running, tasks
    from hali_tf.bulk.images import PictureImages

    config, model, coder = running.open_run(flags, decodes=flags.reconstructions)
    if pictures:
        images = PictureImages(pictures, coder.image_shape, config.data.name)
    else:
        images = _split(flags, config, coder.image_shape)
    task = tasks.Encode(coder, images, flags.reconstructions)
    print(running.make(task, target, model, flags.batch_size))


def _split(flags, config, image_shape):
    """The images of a split, of the run's image set or of another one."""
    from hali_tf.bulk.images import SplitImages
    from hali_tf.runs.reopening import open_data

    if flags.data:
        config = config.replace(data=flags.data, data_dir="", strict_data=False)
    size, _, channels = image_shape
    config = config.replace(image_size=size, channels=channels)
    source = open_data(config, flags.data_dir, flags.cache_dir)
    return SplitImages(source.load(flags.split), {"data": source.name, "split": flags.split})


if __name__ == "__main__":
    bulk_flags.define(
        "hali_tf.encode",
        data=("", "Image set, as in training; empty: the run's own."),
        data_dir=("", "Its folder; empty: as in training."),
        cache_dir=configuration.DATA_FLAGS["cache_dir"],
        split=("test", f"{', '.join(_SPLITS)} of the image set."),
        reconstructions=(True, "Write reconstructions from every level, too."),
    )
    command.run(main, __doc__, positional=True)
