"""Where the arrays of a job go: a file, or a folder of shards; and a manifest of what they are.

FOLDER/manifest.json, or FILE.json beside a FILE, holds the job (all on which the values depend),
the layout of the arrays, and how the rows are cut. It is written first. Each file is written beside
its name and renamed, so a file that is there is whole, and what a killed command left out is what
is missing.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Collection
from typing import Any

import numpy as np

from hali_tf import files
from hali_tf.bulk import formats
from hali_tf.errors import UsageError, UserError, writing


@dataclasses.dataclass(frozen=True)
class Target:
    """What `--out`, `--format` and `--shard_size` ask for.

    Attributes:
      out: path of a file or a folder.
      kind: one of `formats.KINDS`.
      shard_rows: rows of each file of a folder; 0 where `out` is a file.
    """

    out: str
    kind: str
    shard_rows: int

    @property
    def single(self) -> bool:
        """Whether `out` is a file."""
        return not self.shard_rows

    @property
    def manifest(self) -> str:
        """Path of the manifest."""
        if self.single:
            return f"{self.out}.json"
        return os.path.join(self.out, "manifest.json")

    @classmethod
    def of(cls, out: str, kind: str, shard_rows: int) -> Target:
        """The target of these flags; "" as `kind` goes by the ending of `out`.

        Raises:
          UsageError: they cannot work, or what the format needs is not installed.
        """
        ending = os.path.splitext(os.path.normpath(out))[1][1:].lower()
        if kind not in ("", *formats.KINDS):
            raise UsageError(f"--format={kind}: expected one of {', '.join(formats.KINDS)}")
        if not out:
            raise UsageError("--out=: expected a file to write, or a folder for shards")
        if ending in formats.KINDS and kind not in ("", ending):
            raise UsageError(f"--out={out}: its ending does not fit --format={kind}; drop one")
        if ending and ending not in formats.KINDS and not kind:
            raise UsageError(
                f"--out={out}: expected an ending of .{', .'.join(formats.KINDS)}, or a folder "
                "for shards, whose format --format names"
            )
        if shard_rows < 1:
            raise UsageError(f"--shard_size={shard_rows}: expected at least 1")
        if not files.scheme(out) and not os.path.isdir(os.path.dirname(os.path.abspath(out))):
            raise UsageError(f"--out={out}: its folder does not exist; make it first")
        single = ending in formats.KINDS
        kind = kind or (ending if single else "npz")
        formats.check_importable(kind)
        return cls(out, kind, 0 if single else shard_rows)


@dataclasses.dataclass(frozen=True)
class Shards:
    """The files of a job.

    Attributes:
      target: where they are, and in which format.
      layout: what each array is.
      rows: N, of all files together.
      job: all on which the values depend, as it comes back from JSON.
    """

    target: Target
    layout: formats.Layout
    rows: int
    job: dict[str, Any]
    _last: dict = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def create(
        cls, target: Target, layout: formats.Layout, rows: int, job: dict[str, Any]
    ) -> Shards:
        """The files of a job that begins or resumes, its manifest written.

        Raises:
          UserError: something else is at `target.out`, or it cannot be written.
        """
        shards, path, out = cls(target, layout, rows, job), target.manifest, target.out
        with writing(f"--out={out}"):
            if files.exists(path):
                shards.check_manifest()
            elif files.is_file(out) or files.names(out) or (target.single and files.is_folder(out)):
                raise UserError(
                    f"--out={out}: is there, without the manifest of this job ({path}); name "
                    "another --out, or remove it"
                )
            if not target.single:
                files.make_folder(out)
            if not files.exists(path):
                files.write_json(path, shards._manifest())
        return shards

    @classmethod
    def open(cls, path: str) -> Shards:
        """The files that a command wrote; `path` is what its `--out` was.

        Raises:
          UserError: there are none.
          UsageError: what reads them is not installed.
        """
        target = Target(path, "", 0 if not files.is_folder(path) else 1)
        manifest = _read_manifest(target.manifest)
        try:
            layout = {
                name: formats.Array(dtype, tuple(shape))
                for name, (dtype, shape) in manifest["arrays"].items()
            }
        except (TypeError, ValueError) as error:
            raise UserError(f"{target.manifest}: arrays: not as written ({error})") from error
        formats.check_importable(manifest["format"])
        target = Target(path, manifest["format"], manifest["rows_of_a_file"])
        return cls(target, layout, manifest["rows"], manifest["job"])

    def _manifest(self):
        return {
            "command": shlex.join(["python", "-m", f"hali_tf.{self.job['task']}", *sys.argv[1:]]),
            **self._identity(),
        }

    def _identity(self):
        return {
            "format": self.target.kind,
            "rows": self.rows,
            "rows_of_a_file": self.target.shard_rows,
            "arrays": {name: [dtype, list(shape)] for name, (dtype, shape) in self.layout.items()},
            "job": self.job,
        }

    def digest(self) -> str:
        """SHA-256 of all on which the values depend."""
        return hashlib.sha256(json.dumps(self._identity(), sort_keys=True).encode()).hexdigest()

    def check_manifest(self) -> None:
        """Raises UserError if the manifest that is there is of another job, or cannot be read."""
        manifest = _read_manifest(self.target.manifest)
        own = {**self._identity(), **self.job}
        theirs = {**manifest, **manifest["job"]}
        different = [
            f"{name} is {own.get(name)} here and {theirs.get(name)} there"
            for name in {**own, **manifest["job"]}
            if name != "job" and own.get(name) != theirs.get(name)
        ]
        if different:
            raise UserError(
                f"--out={self.target.out}: is of another job; name another --out, or remove it. "
                + "; ".join(different)
            )

    def ranges(self) -> list[tuple[int, int]]:
        """The rows [begin, end) of each file."""
        step = self.target.shard_rows or self.rows
        return [(begin, min(begin + step, self.rows)) for begin in range(0, self.rows, step)]

    def path(self, begin: int) -> str:
        """The file whose first row is `begin`."""
        target = self.target
        if target.single:
            return target.out
        count, number = -(-self.rows // target.shard_rows), begin // target.shard_rows
        return os.path.join(target.out, f"{number:05d}-of-{count:05d}.{target.kind}")

    def missing(self) -> list[tuple[int, int]]:
        """The ranges whose files are not there, or are damaged, which is said."""
        missing = []
        for begin, end in self.ranges():
            try:
                if files.is_file(self.path(begin)):
                    self._read(begin, end, self.layout)
                    continue
            except UserError as error:
                print(f"hali_tf: {error}; it is made again", file=sys.stderr)
            missing.append((begin, end))
        return missing

    def remove_partial(self) -> None:
        """Removes what commands that were killed had begun to write."""
        own = {self.target.manifest, *(self.path(begin) for begin, _ in self.ranges())}
        folder = os.path.dirname(self.target.manifest)
        for partial in glob.glob(os.path.join(glob.escape(folder), "*.tmp")):
            if partial.rsplit(".", 2)[0] in own:
                os.remove(partial)

    def write(self, begin: int, arrays: dict[str, np.ndarray]) -> None:
        """Writes the file whose first row is `begin`.

        Raises:
          UserError: it cannot be written.
        """
        formats.write(self.path(begin), arrays, self.target.kind)

    def _read(self, begin, end, layout):
        """The arrays of a file; the last one read is kept, since `read` may want it in parts."""
        key = begin, tuple(layout)
        if key not in self._last:
            self._last.clear()
            self._last[key] = formats.read(self.path(begin), layout, end - begin, self.target.kind)
        return self._last[key]

    def read(
        self, begin: int, end: int, names: Collection[str] | None = None
    ) -> dict[str, np.ndarray]:
        """The rows [begin, end) of arrays, from one file or several.

        Args:
          begin: the first row.
          end: one past the last row.
          names: of the arrays; None for all.

        Raises:
          UserError: a file is missing or damaged.
        """
        layout = {name: self.layout[name] for name in names or self.layout}
        parts = []
        try:
            for first, last in self.ranges():
                if first < end and begin < last:
                    arrays = self._read(first, last, layout)
                    own = slice(max(begin - first, 0), end - first)
                    parts.append({name: array[own] for name, array in arrays.items()})
        except UserError as error:
            raise UserError(f"{error}; the command in {self.target.manifest} makes it") from error
        return joined(parts)


def _read_manifest(path):
    try:
        manifest = files.read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a manifest ({error})") from error
    if manifest is None:
        raise UserError(
            f"{path}: not found; expected the manifest that hali_tf.encode, decode and sample "
            "write with their files"
        )
    keys = {"format": str, "rows": int, "rows_of_a_file": int, "arrays": dict, "job": dict}
    if (
        not isinstance(manifest, dict)
        or not all(isinstance(manifest.get(key), kind) for key, kind in keys.items())
        or not {"task", "weights", "step"} <= manifest["job"].keys()
        or manifest["rows"] < 1
        or manifest["rows_of_a_file"] < 0
    ):
        raise UserError(f"{path}: not a manifest of hali_tf.encode, decode or sample")
    return manifest


def joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by name, from those of their parts."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def read(path: str) -> dict[str, np.ndarray]:
    """All arrays of a file or a folder that a command of `hali_tf` wrote, by name.

    Raises:
      UserError: it is missing, damaged, or not complete.
    """
    shards = Shards.open(path)
    return shards.read(0, shards.rows)
