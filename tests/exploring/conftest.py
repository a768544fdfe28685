"""A small run, behind the page and behind a server."""

import pytest

from tests.exporting.runs import make_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "digits", width=0.25)
