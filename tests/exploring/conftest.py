"""A small run, and a page of it: of the folder, and of a server that has its export."""

import pathlib

import pytest

from hali_tf import export
from hali_tf.exploring import page
from hali_tf.exploring import subject as subjects
from serving.embedded.server import EmbeddedServer, ServerOptions, one_model
from tests.exporting.runs import make_run


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "digits", width=0.25)


@pytest.fixture(scope="session")
def serve(run_dir, tmp_path_factory):
    """Function from a port, 0 for a free one, to a server of the run's export."""
    exported = export.export(run_dir, str(tmp_path_factory.mktemp("export") / "hali"))
    models = one_model("hali", str(pathlib.Path(exported).parent))
    return lambda port=0: EmbeddedServer(ServerOptions(models, host="localhost", port=port))


@pytest.fixture(scope="session")
def page_of():
    """Function from a subject to the address of its page."""
    pages = []

    def open_page(subject):
        pages.append(page.build(subject))
        return page.launch(pages[-1], 0)

    yield open_page
    for opened in pages:
        opened.close()


@pytest.fixture(scope="session")
def run_page(run_dir, page_of):
    return page_of(subjects.of_run(run_dir))


@pytest.fixture(scope="session")
def server_page(serve, page_of):
    with serve() as server:
        yield page_of(subjects.of_server(f"localhost:{server.port}", "hali"))
