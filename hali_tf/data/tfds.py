"""Any image set of tensorflow-datasets, by name.

Splits as the set defines them; one that it lacks is the last 5 % of its training split (MNIST:
57,000 / 3,000 / 10,000; CIFAR10: 47,500 / 2,500 / 10,000; SVHN: 69,595 / 3,662 / 26,032;
ImageNet: its 50,000 validation images, and its unlabelled test images).

Crop: the central square; 28x28 sets are padded with zeros to 32x32; `celeb_a` as in celeba.py.
`imagenet128` is `imagenet2012` itself, cropped and reduced to 128x128: the `imagenet_resized`
configurations of tensorflow-datasets end at 64x64.

`--data_dir` is the folder in which tensorflow-datasets keeps its sets (its default: named by
TFDS_DATA_DIR, or ~/tensorflow_datasets). It may also hold the original files of the set, as its
publishers hand them out: then the set is built from them into the cache folder, with no download.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from hali_tf.data import cache, images
from hali_tf.data.crops import CELEBA_SIZE, crop_of
from hali_tf.data.source import SPLITS, Source, Split
from hali_tf.data.splits import cut_size
from hali_tf.errors import UsageError, UserError, in_one_line
from hali_tf.files import scheme

_DEFAULT_SIZES = {"celeb_a": CELEBA_SIZE, "imagenet2012": 128}


def open_tfds(
    name: str,
    data_dir: pathlib.Path | None,
    image_size: int,
    channels: int,
    strict: bool,
    cache_dir: pathlib.Path,
) -> Source:
    """Opens a set of tensorflow-datasets; it is downloaded and prepared when first loaded.

    Args:
      name: "tfds:NAME" or "tfds:NAME:CONFIG".
      data_dir: Folder of prepared sets, or of the set's original files, or None.
      image_size: Height and width; 0 means the set's own.
      channels: 1, 3, or 0 for the set's own.
      strict: Whether one bad image is an error.
      cache_dir: Where decoded images (and sets built from original files) are kept.

    Returns:
      The source. Labels are the set's class labels, for `celeb_a` its 40 attributes.

    Raises:
      UsageError: If there is no such set or configuration, it needs an --image_size, or
        tensorflow-datasets cannot read the store that `data_dir` is on.
      UserError: If `data_dir` is missing, or the set holds no images.
    """
    builder, manual_dir = _builder(name, data_dir, cache_dir)
    feature = builder.info.features[_image_key(name, builder)]
    size = image_size or _default_size(name, builder, feature)
    shape = (size, size, channels or (1 if feature.shape[-1] == 1 else 3))
    label_key, label_names = _labels(builder)

    def load(split: str) -> Split:
        _prepare(name, builder, manual_dir)
        job = _job(name, builder, split, shape)
        return _without_empty_labels(cache.load(job, cache_dir, strict))

    return Source(name, shape, load, label_names, multi_label=label_key == "attributes")


def _job(
    name: str, builder: tfds.core.DatasetBuilder, split: str, shape: tuple[int, int, int]
) -> cache.Job:
    """Returns what is to be decoded for a split of a prepared set."""
    part = _part(builder, split)
    image_key, (label_key, _) = _image_key(name, builder), _labels(builder)
    return cache.Job(
        title=f"{builder.name} {split}",
        identity={
            "set": builder.info.full_name,
            "folder": str(builder.data_dir),
            "split": part,
            "count": builder.info.splits[part].num_examples,
        },
        records=functools.partial(_records, builder, part, image_key, label_key),
        count=builder.info.splits[part].num_examples,
        image_shape=shape,
        decode=functools.partial(
            images.decode, size=shape[0], channels=shape[2], crop=crop_of(name)
        ),
    )


def _builder(
    name: str, data_dir: pathlib.Path | None, cache_dir: pathlib.Path
) -> tuple[tfds.core.DatasetBuilder, pathlib.Path | None]:
    """Finds the set's builder, and the folder of its original files if `data_dir` is that."""
    wanted, _, config = name[len("tfds:") :].partition(":")
    manual_dir = None
    if data_dir is not None and scheme(data_dir):
        _check_store(data_dir)
    elif data_dir is not None:
        if not data_dir.is_dir():
            raise UserError(
                f"--data_dir={data_dir}: no such folder; expected one of "
                f"tensorflow-datasets, or of the original files of {wanted}"
            )
        holds_files = any(
            path.is_file() for path in data_dir.iterdir() if not path.name.startswith(".")
        )
        if holds_files and not (data_dir / wanted).is_dir():
            data_dir, manual_dir = cache_dir / "tfds", data_dir
    try:
        return tfds.builder(
            f"{wanted}/{config}" if config else wanted,
            data_dir=None if data_dir is None else str(data_dir),
        ), manual_dir
    except tfds.core.DatasetNotFoundError:
        close = difflib.get_close_matches(wanted, tfds.list_builders(), n=3)
        hint = f"; did you mean {' or '.join('tfds:' + other for other in close)}?" if close else ""
        raise UsageError(
            f"--data={name}: tensorflow-datasets has no set {wanted!r}{hint}"
        ) from None
    except ValueError as error:
        raise UsageError(f"--data={name}: {in_one_line(error)}") from error


def _check_store(data_dir: pathlib.Path) -> None:
    """Raises UsageError if the library of paths of tensorflow-datasets takes no such scheme."""
    try:
        tfds.core.Path(str(data_dir))
    except KeyError:
        raise UsageError(
            f"--data_dir={data_dir}: tensorflow-datasets does not know {scheme(data_dir)}://; "
            "expected a folder on gs:// or s3://, or one on a disk, as which a store can be mounted"
        ) from None


def _image_key(name: str, builder: tfds.core.DatasetBuilder) -> str:
    """Returns which feature of the set is the image."""
    features = builder.info.features
    keys = [key for key in features if isinstance(features[key], tfds.features.Image)]
    if "image" in keys or len(keys) == 1:
        return "image" if "image" in keys else keys[0]
    raise UserError(
        f"--data={name}: expected a set with one image per example; received features "
        f"{', '.join(features)}"
    )


def _default_size(
    name: str, builder: tfds.core.DatasetBuilder, feature: tfds.features.Image
) -> int:
    """Returns the size that the set's images have, if they all have one."""
    if builder.name in _DEFAULT_SIZES:
        return _DEFAULT_SIZES[builder.name]
    height, width = feature.shape[:2]
    if height is None or height != width:
        raise UsageError(
            f"--data={name}: its images differ in size or are not square; say which "
            "size to bring them to with --image_size"
        )
    return 32 if height == 28 else height


def _labels(builder: tfds.core.DatasetBuilder) -> tuple[str | None, tuple[str, ...] | None]:
    """Returns the key of the labels and their names, or (None, None)."""
    features = builder.info.features
    if builder.name == "celeb_a":
        return "attributes", tuple(sorted(features["attributes"]))
    if "label" in features and isinstance(features["label"], tfds.features.ClassLabel):
        return "label", tuple(features["label"].names)
    return None, None


def _prepare(name: str, builder: tfds.core.DatasetBuilder, manual_dir: pathlib.Path | None) -> None:
    """Downloads and prepares the set, once; says so before it takes its time."""
    if builder.is_prepared():
        return
    if manual_dir is None:
        logging.warning(
            "%s: downloading with tensorflow-datasets to %s; this can take long",
            name,
            builder.data_dir,
        )
    else:
        logging.info("%s: building in %s from the files in %s", name, builder.data_dir, manual_dir)
    config = tfds.download.DownloadConfig(manual_dir=str(manual_dir) if manual_dir else None)
    try:
        builder.download_and_prepare(download_config=config)
    except Exception as error:  # No network, no space, another checksum, a manual download ...
        if builder.is_prepared():  # Another process, started at the same time, was first.
            builder.info.read_from_directory(builder.data_dir)
            return
        raise UserError(
            f"--data={name}: tensorflow-datasets could not prepare it in {builder.data_dir} "
            f"({in_one_line(error)}); if it cannot be downloaded from here, name with --data_dir "
            "a folder with its original files, or one of tensorflow-datasets where it is prepared"
        ) from error


def _part(builder: tfds.core.DatasetBuilder, split: str) -> str:
    """Returns, in tensorflow-datasets' notation, what part of the set a split is."""
    splits = builder.info.splits
    if "train" not in splits:
        raise UserError(
            f"tfds:{builder.name}: expected a split 'train'; received {', '.join(splits) or 'none'}"
        )
    missing = [other for other in SPLITS[1:] if other not in splits]
    size = cut_size(splits["train"].num_examples)
    if split == "train":
        return f"train[:-{size * len(missing)}]" if missing else "train"
    if split in splits:
        return split
    from_end = len(missing) - missing.index(split)
    stop = f"-{size * (from_end - 1)}" if from_end > 1 else ""
    return f"train[-{size * from_end}:{stop}]"


def _records(
    builder: tfds.core.DatasetBuilder, part: str, image_key: str, label_key: str | None
) -> Iterator[cache.Record]:
    """Reads the undecoded images, always in the same order."""
    dataset = builder.as_dataset(
        split=part, decoders={image_key: tfds.decode.SkipDecoding()}, shuffle_files=False
    )
    keys = [image_key] + ([label_key] if label_key else [])
    dataset = dataset.map(lambda example: {key: example[key] for key in keys})
    # In batches: taking examples from TensorFlow one by one is slower than decoding them.
    batches = tfds.as_numpy(dataset.batch(64).prefetch(2))
    number = 0
    for examples in _readable(batches, builder):
        labels = examples.get(label_key, itertools.repeat(None))
        if label_key == "attributes":
            labels = np.stack([labels[name] for name in sorted(labels)], axis=1).astype(np.uint8)
        for data, label in zip(examples[image_key], labels):
            yield cache.Record(f"{builder.info.full_name} {part} image {number}", data, label)
            number += 1


def _readable(batches, builder):
    """Yields the batches; turns TensorFlow's error about a damaged file into one for the user."""
    try:
        yield from batches
    except tf.errors.OpError as error:
        raise UserError(
            f"{builder.data_dir}: a file of tensorflow-datasets is damaged "
            f"({in_one_line(error)}); remove the folder to prepare it again"
        ) from error


def _without_empty_labels(split: Split) -> Split:
    """Drops labels of a split that has none, which tensorflow-datasets writes as -1."""
    if split.labels is not None and split.labels.ndim == 1 and (split.labels < 0).all():
        return Split(split.images, None, split.skipped)
    return split
