"""Records of settings: frozen dataclasses whose every field is a flag, or again such a record."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from hali_tf import files
from hali_tf.errors import UsageError, UserError

_Record = TypeVar("_Record", bound="Settings")

# Of each bound: whether a value is outside of it, and how a message says it.
_BOUNDS = {
    "at_least": (lambda value, bound: value < bound, "at least"),
    "at_most": (lambda value, bound: value > bound, "at most"),
    "above": (lambda value, bound: value <= bound, "above"),
    "below": (lambda value, bound: value >= bound, "below"),
}


def setting(
    default: Any, help_text: str, flag: str = "", changes_weights: bool = True, **bounds: Any
) -> Any:
    """Returns the dataclass field of a flag.

    Args:
      default: a str, int, float or bool, which is the flag's type.
      help_text: what --help says.
      flag: name of the flag; "" if it is that of the field.
      changes_weights: whether the weights of a step depend on it.
      **bounds: any of at_least, at_most, above, below (numbers) and one_of (a tuple).
    """
    metadata = {"help": help_text, "flag": flag, "changes_weights": changes_weights, **bounds}
    return dataclasses.field(default=default, metadata=metadata)


def entries(
    record: Settings | type[Settings],
) -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """Yields (flag, field, value) of each setting; of a class, the value is the default."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Settings):
            yield from entries(value)
        else:
            yield field.metadata["flag"] or field.name, field, value


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of the records of settings. Outside of the program they are one flat list of flags."""

    @classmethod
    def of(cls: type[_Record], **values: Any) -> _Record:
        """Returns the record with the values of some flags and the defaults of the others.

        Raises:
          TypeError: there is no such flag.
        """
        return cls().replace(**values)

    def replace(self: _Record, **values: Any) -> _Record:
        """Returns a copy with other values of some flags.

        Raises:
          TypeError: there is no such flag.
        """
        unknown = sorted(values.keys() - self.flat().keys())
        if unknown:
            raise TypeError(f"no such flag: {', '.join(unknown)}")
        return self._replace(values)

    def _replace(self: _Record, values: dict[str, Any]) -> _Record:
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Settings):
                changes[field.name] = value._replace(values)
            else:
                changes[field.name] = values.get(field.metadata["flag"] or field.name, value)
        return type(self)(**changes)

    def flat(self) -> dict[str, Any]:
        """Returns the value of each flag."""
        return {flag: value for flag, _, value in entries(self)}

    def to_json(self) -> str:
        """Returns `flat` as indented JSON."""
        return json.dumps(self.flat(), indent=1) + "\n"

    @classmethod
    def from_file(cls: type[_Record], path: str | os.PathLike) -> _Record:
        """Reads what `to_json` wrote.

        Raises:
          UserError: the file is missing or is no configuration of this version.
        """
        try:
            with files.opened(path) as f:
                record = cls.of(**json.load(f))
            record.check_bounds()
            return record
        except FileNotFoundError as error:
            raise UserError(
                f"{path}: not found; expected the configuration that `python -m hali_tf.train` "
                "writes: name the folder of a run that was started"
            ) from error
        except (OSError, ValueError, TypeError, RecursionError, UsageError) as error:
            raise UserError(f"{path}: not a configuration of this version ({error})") from error

    def hyperparameters(self) -> dict[str, Any]:
        """Returns the values on which the weights of a step depend, by flag."""
        return {
            flag: value for flag, field, value in entries(self) if field.metadata["changes_weights"]
        }

    def differences(self: _Record, other: _Record) -> list[str]:
        """Returns what would change a weight: ["--flag: OWN here, OTHER there", ...]."""
        theirs = other.hyperparameters()
        return [
            f"--{flag}: {own!r} here, {theirs[flag]!r} there"
            for flag, own in self.hyperparameters().items()
            if own != theirs[flag]
        ]

    def check_bounds(self) -> None:
        """Raises UsageError if a value is outside of the bounds of its field."""
        for flag, field, value in entries(self):
            # Flags have their types; what Python code or config.json gives may have another.
            expected = (int, float) if type(field.default) is float else type(field.default)
            if not isinstance(value, expected) or isinstance(value, bool) != (expected is bool):
                raise UsageError(
                    f"--{flag}={value!r}: expected {type(field.default).__name__}; received "
                    f"{type(value).__name__}"
                )
            check(flag, value, field.metadata)


def check(flag: str, value: Any, bounds: Mapping[str, Any]) -> None:
    """Raises UsageError if the value of a flag is outside of `bounds` (see `setting`)."""
    if "one_of" in bounds and value not in bounds["one_of"]:
        choices = ", ".join(str(choice) for choice in bounds["one_of"])
        raise UsageError(f"--{flag}={value}: expected one of {choices}")
    for key, (outside, words) in _BOUNDS.items():
        # Comparisons with NaN and infinity are not reliable, hence the second condition.
        if key in bounds and (outside(value, bounds[key]) or not _is_number(value)):
            raise UsageError(f"--{flag}={value}: expected {words} {bounds[key]}")


def _is_number(value):
    """Whether it is finite, and a whole number is one of 64 bits."""
    return abs(value) < 2**63 if isinstance(value, int) else math.isfinite(value)


def step_range(flag: str, value: str) -> tuple[int, int] | None:
    """Returns (first, last) step of the value of a flag that is FIRST,LAST; None if it is empty.

    Raises:
      UsageError: it is something else.
    """
    if not value:
        return None
    parts = value.split(",")
    if len(parts) == 2 and all(re.fullmatch(r"\s*[0-9]{1,18}\s*", part) for part in parts):
        first, last = map(int, parts)
        if 1 <= first <= last:
            return first, last
    raise UsageError(
        f"--{flag}={value}: expected FIRST,LAST with 1 <= FIRST <= LAST, such as 100,110"
    )
