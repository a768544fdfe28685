"""What the code imports is what setup.cfg declares, and nothing else."""

import ast
import configparser
import importlib.metadata
import pathlib
import re
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hali_tf

ROOT = pathlib.Path(__file__).parents[1]
OURS = {"hali_tf", "serving", "scripts", "tests"}

# Declared although no file here imports them.
NOT_IMPORTED = {
    "huggingface_hub": "bounded for Gradio 4.44",
    "importlib_resources": "TensorFlow Datasets imports it and does not declare it",
    "ipykernel": "runs the notebook in docs/ for its test",
    "mypy": "a command of scripts/check.sh",
    "protobuf": "imported as part of the namespace `google`; the range is TensorFlow's",
    "pydantic": "bounded for Gradio 4.44",
    "pytest-cov": "options of pytest in scripts/test.sh",
    "pytest-xdist": "options of pytest in scripts/test.sh",
    "ruff": "a command of scripts/check.sh",
    "setuptools": "TensorBoard 2.15 imports pkg_resources and does not declare it",
    "tensorflow-metadata": "chosen so that pip finds one protobuf for all (BUILD.md)",
}

# Imported where it is installed, and declared nowhere.
NOT_DECLARED = {"torch": "what scripts/compare_pytorch.py compares with, in a process of its own"}


def imported(*folders):
    """Names of the packages, beyond Python's own and ours, that the files of folders import."""
    names = set()
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names.update(alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names.add(node.module.split(".")[0])
    return names - set(stdlib_names()) - OURS


def stdlib_names():
    if sys.version_info < (3, 10):
        pytest.skip("Python 3.9 does not list its own modules")
    return sys.stdlib_module_names


def declared(*extras, here=True):
    """Requirements of setup.cfg for this Python, those of the extras included.

    Or, if not `here`, those that hold for other Pythons alone.
    """
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    texts = [parser["options"]["install_requires"]]
    texts += [parser["options.extras_require"][extra] for extra in extras]
    lines = [line.split("#")[0].strip() for line in "\n".join(texts).splitlines()]
    requirements = [Requirement(line) for line in lines if line]
    return [r for r in requirements if (r.marker is None or r.marker.evaluate()) == here]


def provided(requirement):
    """Names of the packages that an installed distribution brings."""
    files = importlib.metadata.files(requirement.name) or []
    return {file.parts[0].split(".")[0] for file in files}


def missing(names, requirements):
    """Names that no requirement provides."""
    return sorted(names - set().union(*map(provided, requirements)))


def test_all_that_is_imported_is_declared():
    elsewhere = {requirement.name.replace("-", "_") for requirement in declared(here=False)}
    ours = imported("hali_tf", "serving", "scripts")
    undeclared = set(missing(ours, declared("explore", "parquet")))
    assert undeclared <= elsewhere | NOT_DECLARED.keys()
    assert missing(imported("tests"), declared("explore", "test")) == []


def test_all_that_is_declared_is_imported():
    names = imported(*OURS)
    unused = {r.name for r in declared("explore", "test") if not provided(r) & names}
    assert unused <= NOT_IMPORTED.keys()


def test_the_client_declares_what_it_imports():
    tomllib = pytest.importorskip("tomllib")
    folder = ROOT / "serving" / "client"
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(line) for line in project["dependencies"]]
    names = imported("serving/client")
    assert missing(names, requirements) == []
    assert [r.name for r in requirements if not provided(r) & names] == []
    assert project["version"] == hali_tf.__version__


def test_every_pinned_version_has_hashes():
    pinned = sorted((ROOT / "constraints").glob("*.txt"))
    assert len(pinned) == 5
    for path in pinned:
        text = (path.parent / "hashes" / path.name).read_text(encoding="utf-8")
        hashed = re.findall(r"^(\S+)==(\S+)(?: \\\n    --hash=sha256:[0-9a-f]{64})+$", text, re.M)
        versions = re.findall(r"^(\S+)==(\S+)$", path.read_text(encoding="utf-8"), re.M)
        assert versions and named(versions) == named(hashed), f"bash scripts/constraints.sh: {path}"
        assert len(hashed) == text.count("==")


def named(versions):
    """{name as PyPI writes it: version} of pairs."""
    return {canonicalize_name(name): version for name, version in versions}


def test_the_check_finds_what_it_looks_for():
    without_scipy = [r for r in declared() if r.name != "scipy"]
    assert missing({"scipy", "numpy"}, without_scipy) == ["scipy"]
