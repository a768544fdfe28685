"""The images that are encoded: a split of an image set, or picture files."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hali_tf import files
from hali_tf.bulk.formats import Array, Layout
from hali_tf.data import Split, cache, pictures
from hali_tf.data.folder import list_images
from hali_tf.errors import BadImage, UserError, reason
from hali_tf.progress import progress_bar

_AT_A_TIME = 4096  # images of a split that are hashed


class SplitImages:
    """The images of a split, with `index` and, where there are some, `label`.

    Args:
      split: `data.Split`.
      identity: what says which split it is.
    """

    def __init__(self, split: Split, identity: dict[str, Any]):
        self._split, self.rows = split, len(split.images)
        self.layout: Layout = {"index": Array("int64")}
        if split.labels is not None:
            self.layout["label"] = Array(str(split.labels.dtype), split.labels.shape[1:])
        digest = hashlib.sha256()
        for begin in progress_bar(range(0, self.rows, _AT_A_TIME), "look at the images"):
            digest.update(split.images[begin : begin + _AT_A_TIME].tobytes())
        if split.labels is not None:
            digest.update(split.labels.tobytes())
        self.identity = {**identity, "images": digest.hexdigest()}

    def load(self, begin: int, end: int) -> dict[str, np.ndarray]:
        """`image`, uint8 [end - begin, H, W, C], and what `layout` says."""
        arrays = {
            "image": np.array(self._split.images[begin:end]),
            "index": np.arange(begin, end, dtype=np.int64),
        }
        if self._split.labels is not None:
            arrays["label"] = np.array(self._split.labels[begin:end])
        return arrays


class PictureImages:
    """Picture files, each with its `path`.

    Args:
      paths: of files, and of folders, which stand for the images below them by name.
      image_shape: (H, W, C) of the model.
      data: `--data` of the run (`pictures.read`).

    Raises:
      UserError: a file is missing, or a local one is no picture.
    """

    def __init__(self, paths: Sequence[str], image_shape: tuple[int, int, int], data: str):
        self._paths = [file for path in paths for file in _files(path)]
        self._image_shape, self._data = image_shape, data
        self._check([path for path in self._paths if not files.scheme(path)])
        self.rows, self.layout = len(self._paths), {"path": Array("str")}
        absolute = all(os.path.isabs(path) or files.scheme(path) for path in self._paths)
        base = pathlib.Path("/" if absolute else "")  # relative ones are of the working folder
        self.identity = {"files": cache.fingerprint(base, self._paths)}

    def load(self, begin: int, end: int) -> dict[str, np.ndarray]:
        """`image`, uint8 [end - begin, H, W, C], and `path`.

        Raises:
          UserError: a file is no image.
        """
        paths = self._paths[begin:end]
        return {
            "image": pictures.read(paths, self._image_shape, self._data),
            "path": np.array(paths),
        }

    def _check(self, paths):
        """Raises UserError for files that are no pictures, before anything is computed for others.

        All are decoded for it, since a damaged one may have a good header. Once some rows are
        written, the job is of these files, with the bad ones among them.
        """
        found = pictures.read_each(paths, self._image_shape, self._data)
        with progress_bar(words="look at the pictures", total=len(paths)) as bar:
            bad = []
            for path, picture in zip(paths, found):
                bar.update()
                if isinstance(picture, BadImage):
                    bad.append(f"{path}: {picture}")
        if bad:
            more = f"; {len(bad) - 3} more" if len(bad) > 3 else ""
            raise UserError(f"{'; '.join(bad[:3])}{more}; remove what cannot be read")


def _files(path):
    try:
        if files.is_folder(path):
            return [os.path.join(path, name) for name in sorted(list_images(files.to_path(path)))]
        if files.exists(path):
            return [path]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    raise UserError(f"{path}: not found; expected a picture, or a folder of some")
