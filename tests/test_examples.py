"""The notebooks in examples/ run from top to bottom, and are kept without outputs."""

import os
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.process
def test_score_a_coadd(pipeline_copy, monkeypatch):
    """It shows a table of the coadd's scores and one figure."""
    from nbclient import NotebookClient

    (path,) = [path for path in NOTEBOOKS if path.stem == "score_a_coadd"]
    notebook = nbformat.read(path, as_version=4)
    monkeypatch.setitem(os.environ, "QNAL_WORK", str(pipeline_copy))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}}).execute()
    shown = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("execute_result", "display_data")
    ]
    assert "ensemble of 3 networks" in shown[0]["data"]["text/plain"]
    assert "TARGETID" in shown[1]["data"]["text/plain"]
    assert "UTILITY" in shown[-1]["data"]["text/plain"]
    assert sum("image/png" in output["data"] for output in shown) == 1
