"""A folder of images of the user's own.

Layouts under `--data_dir`:
- one flat folder of images: no labels;
- class folders: a label for each, by sorted name; images in deeper folders belong to the topmost;
- either of them inside train/, val/ (valid/, validation/) and test/, also with a year (val2017/).
Without split folders, or where one is missing, 5 % of the training images each become validation
and test images, chosen by a hash of their relative names: the same ones on every machine, and
mostly the same ones when images are added. By that hash the images are also ordered, so that the
first ones of a split are of mixed classes. Hidden files, and files that by their ending are no
images, are left out.

Crop: the central square, then Lanczos to `--image_size`, which this source cannot do without.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Iterable, Iterator

from hali_tf.data import cache, images
from hali_tf.data.source import SPLITS, Source, Split
from hali_tf.data.splits import cut
from hali_tf.errors import UsageError, UserError
from hali_tf.files import real_path, scheme, walk

_ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_SPLIT_FOLDERS = {
    "train": re.compile(r"(train|training)(\d{4})?", re.IGNORECASE),
    "validation": re.compile(r"(val|valid|validation)(\d{4})?", re.IGNORECASE),
    "test": re.compile(r"(test|testing)(\d{4})?", re.IGNORECASE),
}


def open_folder(
    data_dir: pathlib.Path | None,
    image_size: int,
    channels: int,
    strict: bool,
    cache_dir: pathlib.Path,
) -> Source:
    """Opens a folder of images.

    Args:
      data_dir: The folder.
      image_size: Height and width, at least 1.
      channels: 1 or 3; 0 means 3.
      strict: Whether one bad image is an error.
      cache_dir: Where decoded images are kept.

    Returns:
      The source, with class numbers as labels where there are class folders.

    Raises:
      UsageError: If `data_dir` or `image_size` is not given.
      UserError: If the folder is missing, has no images, or mixes layouts.
    """
    if data_dir is None:
        raise UsageError("--data=folder: say which folder with --data_dir")
    if not image_size:
        raise UsageError("--data=folder: say with --image_size which size to bring the images to")
    if not data_dir.is_dir():
        raise UserError(f"--data_dir={data_dir}: no such folder; expected one with images")
    roots = _split_roots(data_dir)
    _check_roots(roots)
    files = {split: list_images(root, roots.values()) for split, root in roots.items()}
    label_names = _class_names(roots, files)
    parts = _parts(roots, files)
    shape = (image_size, image_size, channels or 3)

    def load(split: str) -> Split:
        root, names = parts[split]
        job = _job(f"{data_dir.resolve().name} {split}", split, root, names, label_names, shape)
        return cache.load(job, cache_dir, strict)

    return Source("folder", shape, load, label_names)


def _job(
    title: str,
    split: str,
    root: pathlib.Path,
    names: list[str],
    label_names: tuple[str, ...] | None,
    shape: tuple[int, int, int],
) -> cache.Job:
    """Returns what is to be decoded for a split of these images."""
    classes = label_names if _has_classes(names) else None
    return cache.Job(
        title=title,
        remote=bool(scheme(root)),
        identity={
            "set": "folder",
            "split": split,
            "files": cache.fingerprint(root, names),
            "classes": classes,
        },
        records=functools.partial(_records, root, names, classes),
        count=len(names),
        image_shape=shape,
        decode=functools.partial(images.decode, size=shape[0], channels=shape[2]),
    )


def _split_roots(data_dir: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the folder of each split that has one; all in one folder count as "train"."""
    folders = sorted(
        path for path in data_dir.iterdir() if _visible(path.name) and _is_folder(path)
    )
    found: dict[str, pathlib.Path] = {}
    for split, pattern in _SPLIT_FOLDERS.items():
        matches = [path for path in folders if pattern.fullmatch(path.name)]
        if len(matches) > 1:
            raise UserError(
                f"{data_dir}: both {matches[0].name}/ and {matches[1].name}/ could be "
                f"the {split} split; name a folder with one of them by --data_dir"
            )
        if matches:
            found[split] = matches[0]
    # One such folder among others may be a class by that name: trains, say.
    if len(found) > 1 or len(found) == len(folders) == 1:
        if "train" not in found:
            raise UserError(f"{data_dir}: has {next(iter(found.values())).name}/ but no train/")
        return found
    return {"train": data_dir}


def _check_roots(roots: dict[str, pathlib.Path]) -> None:
    """Raises if two splits are one folder."""
    found: dict[str, pathlib.Path] = {}
    for root in roots.values():
        other = found.setdefault(real_path(root), root)
        if other is not root:
            raise UserError(f"{root}: is a link to {other}; both splits would have the same images")


def list_images(root: pathlib.Path, apart: Iterable[pathlib.Path] = ()) -> list[str]:
    """Lists the images below a folder by relative name, in the order of their names' hashes.

    Links to folders are followed, but each folder counts once, under its own path rather than a
    link's: a link may lead back to where it is.

    Args:
      root: The folder.
      apart: Folders that links inside `root` must not enter.
    """
    if scheme(root):
        found = [name for name in walk(root, _ENDINGS) if all(map(_visible, name.split("/")))]
    else:
        found = list(_below(root, apart))
    names = [name for name in found if name.lower().endswith(_ENDINGS)]
    if not names:
        raise UserError(
            f"{root}: no images found ({len(found)} other files); expected files ending in "
            f"{', '.join(_ENDINGS)}, there or in class folders"
        )
    return sorted(
        names,
        key=lambda name: hashlib.sha256(
            name.replace(os.sep, "/").encode("utf-8", "surrogateescape")
        ).digest(),
    )


def _below(root: pathlib.Path, apart: Iterable[pathlib.Path]) -> Iterator[str]:
    """Yields the visible files below a local folder by relative name; see `list_images`."""
    seen = {_identity(folder) for folder in apart if folder != root}
    waiting = collections.deque([str(root)])
    while waiting:
        folder = waiting.popleft()
        if _identity(folder) in seen:
            continue
        seen.add(_identity(folder))
        for entry in os.scandir(folder):
            if not _visible(entry.name):
                continue
            if os.path.isdir(entry.path):  # entry.is_dir() raises where a link leads to itself
                # Links last, when all folders that are not links are known.
                (waiting.append if entry.is_symlink() else waiting.appendleft)(entry.path)
            else:
                yield os.path.relpath(entry.path, root)


def _identity(folder: str | os.PathLike) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _class_names(
    roots: dict[str, pathlib.Path], files: dict[str, list[str]]
) -> tuple[str, ...] | None:
    """Returns the sorted class folders of the training split, or None if it is flat."""
    for split, root in roots.items():
        _check_layout(root, files[split])
    if not _has_classes(files["train"]):
        return None
    classes = sorted({_class_of(name) for name in files["train"]})
    for split, names in files.items():
        if _has_classes(names):
            unknown = sorted({_class_of(name) for name in names} - set(classes))
            if unknown:
                raise UserError(
                    f"{roots[split] / unknown[0]}: a class folder that "
                    f"{roots['train']} lacks; both must have the same"
                )
    for name in classes:
        if name != name.encode("utf-8", "ignore").decode():  # tables and labels could not have it
            raise UserError(f"{roots['train']}: the name of {name!r} is not UTF-8; rename it")
    return tuple(classes)


def _check_layout(root: pathlib.Path, names: list[str]) -> None:
    """Raises if images lie both in class folders and beside them, or a class folder is empty."""
    flat = [name for name in names if os.sep not in name]
    if flat and len(flat) < len(names):
        raise UserError(
            f"{root / min(flat)}: lies beside class folders; expected all images in "
            f"class folders or none ({len(flat)} of {len(names)} are not)"
        )
    if not flat:
        used = {_class_of(name) for name in names}
        for path in sorted(root.iterdir()):
            if _visible(path.name) and path.name not in used and _is_folder(path):
                raise UserError(
                    f"{path}: a class folder without images of its own; fill or remove it"
                )


def _parts(
    roots: dict[str, pathlib.Path], files: dict[str, list[str]]
) -> dict[str, tuple[pathlib.Path, list[str]]]:
    """Returns root and images of all three splits, cutting those that have no folder."""
    missing = len(SPLITS) - len(roots)
    if len(files["train"]) <= missing:
        raise UserError(
            f"{roots['train']}: expected at least {missing + 1} images, to cut "
            f"validation and test images from; received {len(files['train'])}"
        )
    parts = {split: (roots[split], names) for split, names in files.items()}
    for split, cut_names in cut(files["train"], present=roots).items():
        parts[split] = roots["train"], list(cut_names)
    return parts


def _records(
    root: pathlib.Path, names: list[str], classes: tuple[str, ...] | None
) -> Iterator[cache.Record]:
    """Yields the images with their class numbers."""
    numbers = {name: number for number, name in enumerate(classes or ())}
    for name in names:
        label = numbers[_class_of(name)] if classes else None
        yield cache.Record(str(root / name), root / name, label)


def _class_of(name: str) -> str:
    return name.split(os.sep, 1)[0]


def _has_classes(names: list[str]) -> bool:
    return os.sep in names[0]


def _is_folder(path: pathlib.Path) -> bool:
    """Whether a path is a folder; a remote one that ends as an image does not cost a request."""
    return not (scheme(path) and path.name.lower().endswith(_ENDINGS)) and path.is_dir()


def _visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))
