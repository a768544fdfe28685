"""`--data` names an image set; here is what each name means."""

from __future__ import annotations

import pathlib

from hali_tf import files
from hali_tf.data.source import Source
from hali_tf.errors import UsageError, UserError, reason

# Short names for what the experiments of configs/ use.
SHORT_NAMES = {
    "mnist": "tfds:mnist",
    "svhn": "tfds:svhn_cropped",
    "cifar10": "tfds:cifar10",
    "imagenet128": "tfds:imagenet2012",
}
NAMES = ("digits", "celeba", "folder", "npz", *SHORT_NAMES, "tfds:NAME", "tfds:NAME:CONFIG")


def open_source(
    data: str,
    data_dir: str = "",
    image_size: int = 0,
    channels: int = 0,
    strict: bool = False,
    cache_dir: str = "",
) -> Source:
    """Finds an image set and checks it, without decoding it.

    Args:
      data: `digits`, `celeba`, `folder`, `npz`, `mnist`, `svhn`, `cifar10`, `imagenet128`,
        `tfds:NAME` or `tfds:NAME:CONFIG`.
      data_dir: Where the set lies. `folder` and `npz` need it, `digits` has no use for it,
        for the others see their modules.
      image_size: Height and width to bring the images to; 0 means the set's own.
      channels: 1 or 3 to convert to grey or RGB; 0 means the set's own.
      strict: Whether one image that cannot be decoded is an error; otherwise such images are
        skipped, counted and reported, as long as they are no more than half.
      cache_dir: Where decoded images are kept for the next run; "" means ~/.cache/hali_tf.

    Returns:
      The source; its `load` decodes.

    Raises:
      UsageError: If an argument cannot work, alone or for this set.
      UserError: If the set is not there or does not fit together.
    """
    if image_size < 0:
        raise UsageError(
            f"--image_size={image_size}: expected a number of pixels, or 0 for the set's own size"
        )
    if channels not in (0, 1, 3):
        raise UsageError(f"channels={channels}: expected 1 (grey), 3 (RGB), or 0 for the set's own")
    folder, cache = _paths(data_dir, cache_dir)
    try:
        return _open(data, folder, image_size, channels, strict, cache)
    except OSError as error:  # A folder that may not be read, a disk that went away.
        raise UserError(
            f"{error.filename or data_dir}: cannot be read ({reason(error)})"
        ) from error


def _paths(data_dir, cache_dir):
    """The folder of the data, None for "", and that of decoded images."""
    if files.scheme(cache_dir):
        raise UsageError(
            f"--cache_dir={cache_dir}: expected a folder on a disk of each machine, for "
            "the images in it are mapped into memory"
        )
    try:
        folder = files.to_path(data_dir) if data_dir else None
        return folder, pathlib.Path(cache_dir or "~/.cache/hali_tf").expanduser()
    except RuntimeError as error:  # ~NAME of nobody here, or no home at all
        raise UsageError(
            f"--data_dir={data_dir}, --cache_dir={cache_dir}: there is no home folder for ~ "
            f"({error}); name whole paths"
        ) from error


def _open(
    data: str,
    folder: pathlib.Path | None,
    image_size: int,
    channels: int,
    strict: bool,
    cache: pathlib.Path,
) -> Source:
    """Passes the arguments on to the module of the named set."""
    name = SHORT_NAMES.get(data, data)
    # Imported where needed: the digits start in a second, tensorflow-datasets takes several.
    if name == "digits":
        from hali_tf.data.digits import open_digits

        return open_digits(image_size, channels)
    if name == "npz":
        from hali_tf.data.npz import open_npz

        return open_npz(folder, image_size, channels)
    if name == "folder":
        from hali_tf.data.folder import open_folder

        return open_folder(folder, image_size, channels, strict, cache)
    if name == "celeba":
        from hali_tf.data.celeba import open_celeba

        return open_celeba(folder, image_size, channels, strict, cache)
    if name.startswith("tfds:"):
        from hali_tf.data.tfds import open_tfds

        return open_tfds(name, folder, image_size, channels, strict, cache)
    raise UsageError(f"--data={data}: no such image set; expected one of {', '.join(NAMES)}")
