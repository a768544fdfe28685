"""Arrays in one .npz file: `x_train`, `y_train`, `x_validation`, ..., or `images` and `labels`.

Images are uint8 [N, H, W] or [N, H, W, C] in 0..255, square, C 1 or 3. Labels are optional:
integers [N] (or [N, 1]) are class numbers, 0/1 [N, A] attributes. `class_names` may name them.
Validation may also be called `val` or `valid`. A split that is missing is 5 % of the training
images, chosen by a fixed permutation; `images` is all there is, and so cut into all three.

No crop. Another `--image_size` is reached by Lanczos, 28x28 to 32x32 by padding with zeros.
"""

from __future__ import annotations

import dataclasses
import pathlib
import zipfile

import numpy as np
from PIL import Image

from hali_tf.data import images
from hali_tf.data.source import SPLITS, Source, Split, check_names
from hali_tf.data.splits import cut
from hali_tf.errors import UsageError, UserError
from hali_tf.files import DAMAGE, opened

# Where a split's images and labels may be, the first that is there.
_KEYS = {
    "train": (("x_train", "y_train"), ("images", "labels")),
    "validation": (("x_validation", "y_validation"), ("x_val", "y_val"), ("x_valid", "y_valid")),
    "test": (("x_test", "y_test"),),
}


@dataclasses.dataclass(frozen=True)
class _Header:
    """Shape and dtype of an array that was not read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def open_npz(data_dir: pathlib.Path | None, image_size: int, channels: int) -> Source:
    """Opens a file of arrays and checks their shapes and dtypes without reading them.

    Args:
      data_dir: The .npz file, or a folder with one.
      image_size: Height and width; 0 means the arrays' own.
      channels: 1, 3, or 0 for the arrays' own.

    Returns:
      The source. Its splits are in memory.

    Raises:
      UsageError: If `data_dir` is not given.
      UserError: If there is no such file, or its arrays are not as described above.
    """
    file = _find(data_dir)
    headers = _read_headers(file)
    keys = _find_keys(file, headers)
    for image_key, label_key in keys.values():
        _check_images(file, image_key, headers[image_key])
        if label_key:
            _check_labels(file, label_key, headers[label_key], headers[image_key].shape[0])
    _check_same(file, keys, headers)
    own = headers[keys["train"][0]].shape
    size, channels = image_size or own[1], channels or (own[3] if len(own) == 4 else 1)
    own_label_key = keys["train"][1]
    multi_label = own_label_key is not None and _attributes(headers[own_label_key]) > 1
    label_names = _label_names(file, headers, keys)
    labels = _read_labels(file, keys, label_names)
    rows = _rows(file, keys, headers)

    def load(split: str) -> Split:
        image_key, label_key = keys.get(split, keys["train"])
        chosen = rows[split]
        pixels = _read(file, image_key)[chosen]
        return Split(_fit(pixels, size, channels), labels[label_key][chosen] if label_key else None)

    return Source("npz", (size, size, channels), load, label_names, multi_label)


def _find(data_dir: pathlib.Path | None) -> pathlib.Path:
    """Returns the file that `--data_dir` means."""
    if data_dir is None:
        raise UsageError("--data=npz: name the .npz file, or a folder with one, by --data_dir")
    if data_dir.is_file():
        return data_dir
    if not data_dir.is_dir():
        raise UserError(f"--data_dir={data_dir}: no such file or folder; expected an .npz file")
    files = sorted(data_dir.glob("*.npz"))
    if len(files) != 1:
        raise UserError(
            f"--data_dir={data_dir}: expected one .npz file in it; received "
            f"{len(files)}: name the file itself"
        )
    return files[0]


def _read_headers(file: pathlib.Path) -> dict[str, _Header]:
    """Reads what the arrays are, without the arrays."""
    headers = {}
    try:
        with opened(file, "rb") as stored, zipfile.ZipFile(stored) as archive:
            for member in archive.namelist():
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(stream)
                headers[member[: -len(".npy")]] = _Header(shape, dtype)
    except DAMAGE as error:
        raise UserError(f"{file}: not an .npz file of arrays, or damaged ({error})") from error
    return headers


def _read(file: pathlib.Path, key: str) -> np.ndarray:
    """Reads one array."""
    try:
        with opened(file, "rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return arrays[key]
    except DAMAGE as error:
        raise UserError(f"{file}: {key} cannot be read ({error})") from error


def _find_keys(
    file: pathlib.Path, headers: dict[str, _Header]
) -> dict[str, tuple[str, str | None]]:
    """Returns the names of images and labels of each split that is there."""
    keys = {}
    for split, candidates in _KEYS.items():
        for image_key, label_key in candidates:
            if image_key in headers:
                keys[split] = (image_key, label_key if label_key in headers else None)
                break
    if "train" not in keys:
        raise UserError(
            f"{file}: expected an array x_train or images; received {', '.join(headers) or 'none'}"
        )
    if keys["train"][1] is None:  # Labels that nothing was trained with have no use.
        keys = {split: (image_key, None) for split, (image_key, _) in keys.items()}
    return keys


def _check_images(file: pathlib.Path, key: str, header: _Header) -> None:
    """Raises if an array cannot be images."""
    shape = header.shape
    if header.dtype != np.uint8:
        raise UserError(
            f"{file}: {key}: expected dtype uint8 with values 0..255; received {header.dtype}"
        )
    if (
        len(shape) not in (3, 4)
        or shape[1] != shape[2]
        or (len(shape) == 4 and shape[3] not in (1, 3))
    ):
        raise UserError(
            f"{file}: {key}: expected square images [N, H, W] or [N, H, W, 1 or 3]; "
            f"received shape {list(shape)}"
        )
    if 0 in shape:
        raise UserError(f"{file}: {key}: is empty; received shape {list(shape)}")


def _check_labels(file: pathlib.Path, key: str, header: _Header, count: int) -> None:
    """Raises if an array cannot be the labels of `count` images."""
    if header.dtype.kind not in "iub" or len(header.shape) not in (1, 2) or 0 in header.shape:
        raise UserError(
            f"{file}: {key}: expected integers [N], or 0/1 [N, A]; received "
            f"{header.dtype} of shape {list(header.shape)}"
        )
    if header.shape[0] != count:
        raise UserError(
            f"{file}: {key}: expected a label for each of the {count} images; received "
            f"{header.shape[0]}"
        )


def _check_same(
    file: pathlib.Path, keys: dict[str, tuple[str, str | None]], headers: dict[str, _Header]
) -> None:
    """Raises if the splits differ in image shape or kind of labels."""
    train_key, train_label_key = keys["train"]
    for image_key, label_key in keys.values():
        if headers[image_key].shape[1:] != headers[train_key].shape[1:]:
            raise UserError(
                f"{file}: {image_key}: expected images "
                f"{list(headers[train_key].shape[1:])} as in {train_key}; received "
                f"{list(headers[image_key].shape[1:])}"
            )
        if (
            train_label_key
            and label_key
            and (_attributes(headers[label_key]) != _attributes(headers[train_label_key]))
        ):
            raise UserError(
                f"{file}: {label_key}: expected labels of the shape of "
                f"{train_label_key}; received {list(headers[label_key].shape)}"
            )


def _rows(
    file: pathlib.Path, keys: dict[str, tuple[str, str | None]], headers: dict[str, _Header]
) -> dict[str, slice | np.ndarray]:
    """Returns which rows of its array each split takes."""
    count = headers[keys["train"][0]].shape[0]
    missing = len(SPLITS) - len(keys)
    if count <= missing:
        raise UserError(
            f"{file}: {keys['train'][0]}: expected at least {missing + 1} images, to "
            f"cut validation and test images from; received {count}"
        )
    rows: dict[str, slice | np.ndarray] = {split: slice(None) for split in keys}
    if missing:
        # Sorted again: every split keeps the file's order.
        order = np.random.default_rng(0).permutation(count)
        rows.update({split: np.sort(part) for split, part in cut(order, present=keys).items()})
    return rows


def _read_labels(
    file: pathlib.Path,
    keys: dict[str, tuple[str, str | None]],
    label_names: tuple[str, ...] | None,
) -> dict[str, np.ndarray]:
    """Reads all labels by their names in the file, training first, and checks them."""
    labels: dict[str, np.ndarray] = {}
    classes, because = 0, ""
    for image_key, label_key in keys.values():
        if label_key is None:
            continue
        values = _read(file, label_key)
        if not labels:
            # As many classes as images would be one image each; more cannot be meant.
            classes = len(label_names) if label_names else len(values)
            because = "class_names" if label_names else f"the images of {image_key}"
        labels[label_key] = _to_labels(file, label_key, values, classes, because)
        if len(labels) == 1 and not label_names:
            classes, because = int(values.max()) + 1, f"the classes of {label_key}"
    return labels


def _to_labels(
    file: pathlib.Path, key: str, values: np.ndarray, classes: int, because: str
) -> np.ndarray:
    """Turns labels into int64 [N] or uint8 [N, A]."""
    if values.ndim == 1 or values.shape[1] == 1:
        if values.min() < 0 or values.max() >= classes:
            raise UserError(
                f"{file}: {key}: expected class numbers from 0 to {classes - 1}, by {because}; "
                f"received {values.min()} to {values.max()}"
            )
        return values.reshape(-1).astype(np.int64)
    if not np.isin(values, (0, 1)).all():
        raise UserError(
            f"{file}: {key}: expected 0 and 1 in [N, A]; received values from "
            f"{values.min()} to {values.max()}"
        )
    return values.astype(np.uint8)


def _attributes(header: _Header) -> int:
    return header.shape[1] if len(header.shape) == 2 else 1


def _label_names(
    file: pathlib.Path, headers: dict[str, _Header], keys: dict[str, tuple[str, str | None]]
) -> tuple[str, ...] | None:
    """Reads `class_names`; without them classes have no names, and attributes have numbers."""
    if not keys["train"][1]:
        return None
    attributes = _attributes(headers[keys["train"][1]])
    if "class_names" not in headers:
        return tuple(f"attribute {i}" for i in range(attributes)) if attributes > 1 else None
    array = _read(file, "class_names")
    if array.ndim != 1 or array.dtype.kind not in "SU":
        raise UserError(
            f"{file}: class_names: expected a list of text; received {array.dtype} of "
            f"shape {list(array.shape)}"
        )
    if attributes > 1 and len(array) != attributes:
        raise UserError(
            f"{file}: class_names: expected {attributes}, one for each column of "
            f"{keys['train'][1]}; received {len(array)}"
        )
    try:
        names = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in array)
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: class_names: expected UTF-8 ({error})") from error
    check_names(f"{file}: class_names", names)
    return names


def _fit(pixels: np.ndarray, size: int, channels: int) -> np.ndarray:
    """Turns uint8 [N, h, w] or [N, h, w, c] into uint8 [N, size, size, channels]."""
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.shape[1:] == (size, size, channels):
        return pixels
    # Pillow takes grey images without a channel axis.
    flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    return np.stack([images.fit(Image.fromarray(image), size, channels) for image in flat])
