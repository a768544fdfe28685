"""No file, class or function of the product is longer than CONTRIBUTING.md says."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = sorted(path for name in ("hali_tf", "serving") for path in (ROOT / name).rglob("*.py"))
MOST_LINES = {ast.Module: 350, ast.ClassDef: 200, ast.FunctionDef: 50, ast.AsyncFunctionDef: 50}


def too_long(source: str) -> list[str]:
    """Name and length of what has more lines than `MOST_LINES` of its kind."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module):
            lines = len(source.splitlines())
        elif type(node) in MOST_LINES:
            lines = node.end_lineno - node.lineno + 1
        else:
            continue
        if lines > MOST_LINES[type(node)]:
            found.append(f"{getattr(node, 'name', 'the file')}: {lines} lines")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_too_long(path):
    assert not too_long(path.read_text(encoding="utf-8"))


def test_what_is_too_long_is_found():
    body = "\n    x = 1"
    assert not too_long("def f():" + 49 * body)
    assert too_long("def f():" + 50 * body) == ["f: 51 lines"]
    assert too_long("class A:" + 200 * body) == ["A: 201 lines"]
    assert too_long(351 * "x = 1\n") == ["the file: 351 lines"]
