"""CelebA: aligned and cropped faces with 40 attributes.

Crop: the central 148x148 of the aligned 178x218 image (left 15, upper 35, right 163, lower 183),
then Lanczos down to 64x64 or `image_size`. Images that are square already were prepared before,
and are only resized.

`--data_dir` is the folder with the official files: `img_align_celeba/`, `list_attr_celeba.txt`,
`list_eval_partition.txt` (162,770 for training, 19,867 for validation, 19,962 for testing). Without
it, or where it is a folder of tensorflow-datasets, the set comes from there.
"""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Iterable

import numpy as np

from hali_tf import files
from hali_tf.data import cache, images
from hali_tf.data.crops import CELEBA_SIZE, celeba_face
from hali_tf.data.source import SPLITS, Source, Split, check_names
from hali_tf.errors import UserError

_IMAGES, _ATTRIBUTES, _PARTITION = (
    "img_align_celeba",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
)


def open_celeba(
    data_dir: pathlib.Path | None,
    image_size: int,
    channels: int,
    strict: bool,
    cache_dir: pathlib.Path,
) -> Source:
    """Opens CelebA and checks that images, attributes and partition belong together.

    Args:
      data_dir: The folder with the official files, or one of tensorflow-datasets, or None.
      image_size: Height and width; 0 means 64.
      channels: 1 or 3; 0 means 3.
      strict: Whether one bad image is an error.
      cache_dir: Where decoded images are kept.

    Returns:
      A source with labels uint8 [N, 40], 1 where the face has the attribute.

    Raises:
      UserError: If a file is missing or does not match the others.
    """
    if data_dir is None or (data_dir / "celeb_a").is_dir():
        from hali_tf.data.tfds import open_tfds  # slow to import, and needed here alone

        source = open_tfds("tfds:celeb_a", data_dir, image_size, channels, strict, cache_dir)
        return Source("celeba", source.image_shape, source.loader, source.label_names, True)
    _check_layout(data_dir)
    attribute_names, attributes = _read_attributes(data_dir / _ATTRIBUTES)
    partition = _read_partition(data_dir / _PARTITION)
    _check_same(data_dir / _ATTRIBUTES, attributes, data_dir / _PARTITION, partition)
    folder = data_dir / _IMAGES
    found = {name for name in files.names(folder) if _is_image(name)}
    _check_same(data_dir / _ATTRIBUTES, attributes, folder, found)
    size = image_size or CELEBA_SIZE
    shape = (size, size, channels or 3)

    def load(split: str) -> Split:
        number = SPLITS.index(split)
        names = sorted(name for name, part in partition.items() if part == number)
        if not names:
            raise UserError(f"{data_dir / _PARTITION}: no image of the {split} split ({number})")
        return cache.load(_job(data_dir, split, names, attributes, shape), cache_dir, strict)

    return Source("celeba", shape, load, attribute_names, multi_label=True)


def _job(
    data_dir: pathlib.Path,
    split: str,
    names: list[str],
    attributes: dict[str, np.ndarray],
    shape: tuple[int, int, int],
) -> cache.Job:
    """Returns what is to be decoded for a split of these images."""
    folder = data_dir / _IMAGES
    return cache.Job(
        title=f"celeba {split}",
        identity={
            "set": "celeba",
            "split": split,
            "files": cache.fingerprint(folder, names),
            "attributes": cache.fingerprint(data_dir, [_ATTRIBUTES]),
        },
        remote=bool(files.scheme(folder)),
        records=lambda: (
            cache.Record(str(folder / name), folder / name, attributes[name]) for name in names
        ),
        count=len(names),
        image_shape=shape,
        decode=functools.partial(images.decode, size=shape[0], channels=shape[2], crop=celeba_face),
    )


def _is_image(name: str) -> bool:
    return name.lower().endswith((".jpg", ".png")) and not name.startswith(".")


def _check_layout(data_dir: pathlib.Path) -> None:
    """Raises if one of the official files is not there."""
    if not data_dir.is_dir():
        raise UserError(
            f"--data_dir={data_dir}: no such folder; expected CelebA's, with "
            f"{_IMAGES}/, {_ATTRIBUTES} and {_PARTITION}"
        )
    for name in (_IMAGES, _ATTRIBUTES, _PARTITION):
        if not (data_dir / name).exists():
            raise UserError(
                f"{data_dir / name}: not found; expected CelebA's official files "
                f"{_IMAGES}/, {_ATTRIBUTES} and {_PARTITION} in --data_dir, "
                "or tensorflow-datasets' celeb_a/"
            )


def _read_attributes(file: pathlib.Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Reads the attributes' names and each image's row, -1/1 turned into 0/1."""
    lines = _lines(file)
    if len(lines) < 3 or not re.fullmatch("[0-9]{1,9}", lines[0].strip()):
        raise UserError(
            f"{file}: expected the number of images, a line of attribute names, and a "
            f"line per image; received {len(lines)} lines beginning {_start(lines)!r}"
        )
    names = tuple(lines[1].split())
    check_names(f"{file}, line 2", names)
    if int(lines[0]) != len(lines) - 2:
        raise UserError(
            f"{file}: its first line promises {int(lines[0])} images; received "
            f"{len(lines) - 2} rows"
        )
    rows: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines[2:], start=3):
        image, *values = line.split()
        if len(values) != len(names):
            raise UserError(
                f"{file}, line {number}: expected {len(names)} values after the "
                f"image's name; received {len(values)}"
            )
        if not set(values) <= {"-1", "1"}:
            raise UserError(
                f"{file}, line {number}: expected values -1 and 1; received "
                f"{sorted(set(values) - {'-1', '1'})[0]!r}"
            )
        if image in rows:
            raise UserError(f"{file}, line {number}: {image} is listed twice")
        rows[image] = np.array([value == "1" for value in values], dtype=np.uint8)
    return names, rows


def _read_partition(file: pathlib.Path) -> dict[str, int]:
    """Reads which image belongs to which split: 0 train, 1 validation, 2 test."""
    partition: dict[str, int] = {}
    for number, line in enumerate(_lines(file), start=1):
        fields = line.split()
        if len(fields) != 2 or fields[1] not in ("0", "1", "2"):
            raise UserError(
                f"{file}, line {number}: expected an image's name and 0, 1 or 2; "
                f"received {line.strip()[:60]!r}"
            )
        if fields[0] in partition:
            raise UserError(f"{file}, line {number}: {fields[0]} is listed twice")
        partition[fields[0]] = int(fields[1])
    return partition


def _check_same(
    first: pathlib.Path,
    first_names: Iterable[str],
    second: pathlib.Path,
    second_names: Iterable[str],
) -> None:
    """Raises if one names images that the other lacks."""
    first_set, second_set = set(first_names), set(second_names)
    for path, names, other_path, other_names in (
        (first, first_set, second, second_set),
        (second, second_set, first, first_set),
    ):
        lacking = sorted(names - other_names)
        if lacking:
            raise UserError(
                f"{path}: has {lacking[0]}, which {other_path} lacks ({len(lacking)} such "
                f"of {len(names)}); both must be of the same images"
            )


def _lines(file: pathlib.Path) -> list[str]:
    """Reads the lines that are not blank."""
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as text ({error})") from error


def _start(lines: list[str]) -> str:
    return lines[0][:40] if lines else ""
