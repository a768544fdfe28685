"""Which files of a package another file needs."""

from __future__ import annotations

import ast
import functools
import pathlib
from collections.abc import Iterator


def sources(file: pathlib.Path, package: pathlib.Path) -> list[pathlib.Path]:
    """A file and all files of a package that it imports, directly or not, in order of their names.

    They are found by reading the import statements, wherever in a file they are.

    Args:
      file: Python source, which may be of the package itself.
      package: its folder.
    """
    found: set[pathlib.Path] = set()
    left = [file]
    while left:
        file = left.pop()
        if file not in found:
            found.add(file)
            left += _imported(file, package)
    return sorted(found)


@functools.cache  # most questions need the same files
def _imported(file: pathlib.Path, package: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Files of the package that a file imports; importing a.b.c imports a and a.b as well."""
    found: list[pathlib.Path] = []
    for name in _names(file):
        first, *parts = name.split(".")
        for end in range(len(parts) + 1) if first == package.name else ():
            module = package.joinpath(*parts[:end])
            candidates = (module / "__init__.py", module.with_suffix(".py"))
            found += (candidate for candidate in candidates if candidate.is_file())
    return tuple(found)


def _names(file: pathlib.Path) -> Iterator[str]:
    """Dotted names that a file imports; some are those of functions and not of modules."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
