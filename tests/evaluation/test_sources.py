"""What a file imports, in a package made by hand and in the questions."""

import pathlib

import pytest

import hali_tf
from hali_tf.evaluation.registry import QUESTIONS
from hali_tf.evaluation.sources import sources

PACKAGE = pathlib.Path(hali_tf.__file__).parent


@pytest.fixture
def package(tmp_path):
    """A package of which a.py imports b and c.d, c.d imports a, and nobody imports e."""
    files = {
        "p/__init__.py": "",
        "p/a.py": "import numpy\nfrom p import b\n\ndef f():\n    from p.c.d import g\n",
        "p/b.py": "import json",
        "p/c/__init__.py": "",
        "p/c/d.py": "import p.a",
        "p/e.py": "from p import a",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path / "p"


def test_imports_are_followed_to_the_end(package):
    names = [str(path.relative_to(package)) for path in sources(package / "a.py", package)]
    assert names == ["__init__.py", "a.py", "b.py", "c/__init__.py", "c/d.py"]


def test_a_file_elsewhere_comes_with_what_it_imports(package, tmp_path):
    (tmp_path / "other.py").write_text("import p.b as x")
    found = sources(tmp_path / "other.py", package)
    assert found == [tmp_path / "other.py", package / "__init__.py", package / "b.py"]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_depends_on_models_data_and_measures_but_not_on_other_questions(name):
    found = sources(PACKAGE / "evaluation" / f"{name}.py", PACKAGE)
    names = {str(path.relative_to(PACKAGE)) for path in found}
    assert {"models/hali.py", "layers/gaussian.py", "data/images.py", "config/groups.py"} <= names
    assert not {"train.py", "exporting/version.py", "evaluation/registry.py"} & names
    assert ("attributes/classifier.py" in names) == (
        name in ("attributes", "innovation", "representation")
    )
    assert ("evaluation/samples.py" in names) == (name == "samples")
