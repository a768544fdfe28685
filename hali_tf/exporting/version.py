"""A version folder that appears as a whole: written under another name, then renamed."""

from __future__ import annotations

import glob
import os
import re
import shutil
from typing import Any

import tensorflow as tf

from hali_tf import files
from hali_tf.errors import UsageError, UserError, in_one_line
from hali_tf.exporting import warmup
from hali_tf.exporting.servable import Servable

_PARTIAL = ".exporting-"


def next_version(export_dir: str) -> int:
    """1 more than the highest integer-named folder."""
    names = (name for name in files.names(export_dir) if re.fullmatch("[0-9]+", name))
    return max((n for n in map(int, names) if n < 2**63), default=0) + 1  # as the servers do


def write(servable: Servable, export_dir: str, version: int, card: dict[str, Any]) -> str:
    """Writes DIR/<version>/, while DIR is locked: SavedModel, warm-up requests, model card.

    A server polls DIR and takes any integer-named folder it sees, so the folder is made under
    another name, and whole when it gets its number. What a killed export left is removed. On an
    object store saved_model.pb comes last, without which a server tries again later.

    Args:
      servable: `Servable`.
      export_dir: DIR; made if missing.
      version: positive integer, or 0 for the next free one.
      card: dict for model_card.json; the signatures are added.

    Returns:
      Path of the version's folder.

    Raises:
      UsageError: the version is there already.
      UserError: the folder cannot be written.
    """
    try:
        for left in glob.glob(os.path.join(glob.escape(export_dir), f"{_PARTIAL}*")):
            shutil.rmtree(left)
        version = version or next_version(export_dir)
        check_free(export_dir, version)
        final = os.path.join(export_dir, str(version))
        partial = os.path.join(export_dir, f"{_PARTIAL}{version}")
        signatures = servable.signatures()
        with files.workplace(partial) as made:
            tf.saved_model.save(servable, made, signatures)
            warmup.write(made, signatures)
            card = {"version": version, **card, "signatures": _describe(signatures)}
            files.write_json(os.path.join(made, "assets.extra", "model_card.json"), card)
            files.put_folder(made, final, last="saved_model.pb")
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"--export_dir={export_dir}: the version cannot be written "
            f"({in_one_line(error)}); nothing of it is left that a server would load"
        ) from error
    return final


def check_free(export_dir: str, version: int) -> None:
    """Raises UsageError if a version is there already; 0 is always free."""
    final = os.path.join(export_dir, str(version))
    if version and files.exists(final):
        raise UsageError(
            f"--version={version}: {final} exists; versions are never overwritten, so choose "
            f"another (--version=0 takes {next_version(export_dir)})"
        )


_RANGES = {
    tf.uint8: "0 to 255",
    tf.int64: "any; the same seed gives the same image",
    tf.string: "see the README of serving",
}


def _describe(signatures):
    """Shapes, dtypes and ranges of each signature's inputs and outputs, for the card."""

    def tensor(spec, name):
        known = _RANGES.get(spec.dtype)
        if known is None:
            known = (
                "0 to 1" if name in ("scores", "y") else "above 0" if "stddev" in name else "any"
            )
        return {"dtype": spec.dtype.name, "shape": ["B", *spec.shape[1:].as_list()], "range": known}

    return {
        name: {
            "inputs": {s.name: tensor(s, s.name) for s in function.structured_input_signature[0]},
            "outputs": {n: tensor(s, n) for n, s in function.structured_outputs.items()},
        }
        for name, function in signatures.items()
    }
