"""Each script in experiments/ can be imported with the current package."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "experiments"
SCRIPTS = sorted(FOLDER.rglob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_and_what_it_imports(script, monkeypatch):
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr(sys, "argv", [str(script)])
    names = runpy.run_path(str(script))
    assert names["__doc__"]
    assert "main" in names or script.stem == "machine"
