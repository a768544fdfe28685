"""A small run and its export, made once."""

import pytest

from hali_tf import export
from hali_tf.runs.reopening import load_run
from tests.exporting.runs import make_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "digits")


@pytest.fixture(scope="session")
def model(run_dir):
    return load_run(run_dir)[1]


@pytest.fixture(scope="session")
def version_dir(run_dir, tmp_path_factory):
    """DIR/1 of the small run."""
    return export.export(run_dir, str(tmp_path_factory.mktemp("export") / "hali"))
