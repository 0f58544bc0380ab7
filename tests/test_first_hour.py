"""docs/first_hour.md word for word, on a smaller survey, and what the MLflow UI shows of it."""

import csv
import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.servers import free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.process]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "first_hour.md"
# What the page sets as well is shrunken by a later setting; groups can be set only once.
SMALLER = ("ensemble.n=2", "compare.draws=100")
SERVERS = {"mlflow ui": "health", "mlflow models serve": "ping"}
UI, MODEL = "5000", "5001"  # ports on the page


@dataclass(frozen=True)
class Hour:
    """What was done in the first hour.

    Attributes:
        folder: where it was done.
        printed: what each block of the page has printed, in order.
        ui: address of the MLflow UI, which still runs.
    """

    folder: Path
    printed: list[str]
    ui: str

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder / 'work' / 'mlflow.db'}")


def write_command(folder: Path, name: str, *further: str) -> None:
    """An executable that runs a module of this interpreter, with further arguments at the end."""
    folder.mkdir(exist_ok=True)
    words = " ".join(f"'{word}'" for word in further)
    (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -m {name} "$@" {words}\n')
    (folder / name).chmod(0o755)


@pytest.fixture(scope="module")
def hour(tmp_path_factory, tiny):
    """Do everything that is on the page, from top to bottom."""
    folder = tmp_path_factory.mktemp("hour")
    small = [o for o in tiny if "." in o.partition("=")[0] and not o.startswith("ensemble.n=")]
    write_command(folder / "bin", "qnal", *small, *SMALLER, "executor=serial")
    write_command(folder / "bin", "mlflow")
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent)])
    environment = os.environ | {
        "PATH": f"{path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    ports = {UI: str(free_port()), MODEL: str(free_port())}
    text = PAGE.read_text()
    for port, free in ports.items():
        text = text.replace(port, free)
    servers, printed = [], []
    try:
        for kind, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            command = [sys.executable, "-c", block] if kind else ["bash", "-e", "-c", block]
            given = {"cwd": folder, "env": environment, "text": True}
            health = [path for name, path in SERVERS.items() if name in block]
            if health:
                server = subprocess.Popen(
                    command, **given, start_new_session=True, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )  # fmt: skip
                servers.append(server)
                port = next(free for free in ports.values() if free in block)
                wait_for(f"http://127.0.0.1:{port}/{health[0]}", server)
                printed.append("")
            else:
                done = subprocess.run(command, **given, capture_output=True, timeout=900)
                assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
                printed.append(done.stdout)
        yield Hour(folder, printed, f"http://127.0.0.1:{ports[UI]}")
    finally:
        for server in servers:
            if server.poll() is None:
                os.killpg(server.pid, 9)
            server.wait()


def test_the_page_word_for_word(hour):
    demo, sweep, _, compared, scored, _, served, verdict, promoted = hour.printed
    assert "targetid_selection.txt" in demo
    assert "sweep of 4 jobs" in sweep and "refused" not in sweep
    (path,) = (hour.folder / "work" / "sweeps").rglob("sweep.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["done"] * 4
    assert {row["network.layers"] for row in rows} == {"4", "6"}
    assert compared.count("layers=") == 4
    assert " ok " in scored
    assert served.strip() == "zero_variance"
    assert "compare.promote=false" in verdict
    champion = hour.client.get_model_version_by_alias("qnal-ensemble", "champion")
    candidate = hour.client.get_model_version_by_alias("qnal-ensemble", "candidate")
    is_promoted = champion.version == candidate.version
    assert ("is the champion now" in promoted) is is_promoted
    assert is_promoted or "not promoted" in promoted


def test_what_the_ui_shows(hour, tmp_path):
    """In a real browser: the runs, a note with its figure, a comparison, and the model."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    if not shutil.which("chromedriver"):
        pytest.skip("no Chromium with chromedriver in PATH")
    pictures = runpy.run_path(str(ROOT / "docs" / "mlflow_pictures.py"))
    with pictures["opened"](hour.ui) as ui:
        pictures["take"](ui, hour.client, tmp_path)
        text = ui.page("/#/models/qnal-ensemble", "champion", "candidate")
        assert "Version 5" in text
        train = pictures["runs_of"](hour.client, "train")[-1]
        page = f"/#/experiments/{train.info.experiment_id}/runs/{train.info.run_id}"
        text = ui.page(page, "Next", "oob/completeness")
        assert "× QuasarNET-4" in text
        figures = "[...document.images].filter(i => i.src.includes('get-artifact'))"
        ui.wait_for(f"{figures}.some(i => i.naturalWidth > 100)")
    assert len(list(tmp_path.glob("*.png"))) == 7
