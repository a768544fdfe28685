"""The notebook docs/tour.ipynb: what is kept in it, and that it runs."""

import pathlib
import re

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[1]
PATH = ROOT / "docs" / "tour.ipynb"


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, nbformat.NO_CONVERT)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_outputs_are_kept_and_small(notebook):
    nbformat.validate(notebook)
    assert PATH.stat().st_size < 300_000
    assert [cell.execution_count for cell in code(notebook)] == [*range(1, 12)]
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 5
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}  # nothing went wrong


def test_links_lead_somewhere(notebook):
    links = [link for cell in notebook.cells for link in re.findall(r"\]\((.*?)\)", cell.source)]
    assert links
    for link in links:
        assert (PATH.parent / link).exists(), link


@pytest.mark.slow
def test_runs_from_top_to_bottom(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (training,) = (cell for cell in code(notebook) if cell.source.startswith("STEPS = 1000"))
    training.source = training.source.replace("1000", "20")
    for cell in code(notebook):
        cell.outputs = []
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources=resources).execute()
    (*_, served) = code(notebook)
    apart = re.findall(r"at most (\d+) of 255", served.outputs[0].text)
    assert len(apart) == 2 and all(int(most) <= 1 for most in apart)
