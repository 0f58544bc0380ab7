"""Real MLflow servers, and many processes on one store."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from qnal.stages.training_runs import TrainingRuns
from tests.servers import free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.process]

JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
FIRST_JOB = """
import sys
from pathlib import Path
from qnal.config.tracking_keys import TrackingConfig, TrackingKind
from qnal.tracking import open_recorder
recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, None), Path(sys.argv[1]))
with recorder.run(sys.argv[2]) as run:
    run.metrics({"a": int(sys.argv[2])})
    run.dictionary({"a": 1}, "a.json")
sys.exit(recorder.failure)
"""


class Server:
    """An ``mlflow`` process that is ended with its children."""

    def __init__(self, *arguments: str, health: str, **environment: str) -> None:
        # MLflow starts uvicorn by its name.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments],
            env=os.environ | {"PATH": path} | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(health, self.process)

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.wait()


@pytest.fixture
def start_server(tmp_path):
    """Start a tracking server that serves artifacts, on a store that outlives it."""
    port, servers = free_port(), []
    url = f"http://127.0.0.1:{port}"

    def start() -> tuple[str, Server]:
        server = Server(
            "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}",
            "--artifacts-destination", str(tmp_path / "served"), health=f"{url}/health",
        )  # fmt: skip
        servers.append(server)
        return url, server

    yield start
    for server in servers:
        server.stop()


def answers(url: str, body: bytes, kind: str) -> list[dict]:
    """Post a table to a served model; prints how long the answer took."""
    request = urllib.request.Request(  # noqa: S310
        f"{url}/invocations", body, {"Content-Type": kind}
    )
    started = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
        rows = json.load(answer)["predictions"]
    print(f"{len(rows)} spectra, {len(body) / 1e6:.1f} MB: {time.monotonic() - started:.2f} s")
    return rows


def test_ten_first_jobs_at_once(tmp_path):
    jobs = [
        subprocess.Popen([sys.executable, "-c", FIRST_JOB, str(tmp_path / "work"), str(i)])
        for i in range(10)
    ]
    assert [job.wait(300) for job in jobs] == [0] * 10
    client = MlflowClient(f"sqlite:///{tmp_path / 'work' / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "qnal"]
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.metrics["a"] for run in runs) == list(range(10))
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_server_that_dies_and_comes_back(start_server, tmp_path, tiny, qnal_job, monkeypatch):
    """The science goes on; the same command records what is missing, exactly once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    url, server = start_server()
    settings = [*tiny, "stage=train", f"work_dir={tmp_path / 'w'}", "tracking=server",
                f"tracking.uri={url}"]  # fmt: skip
    recorded = TrainingRuns.member

    def die_at_the_second(self, record):
        if record.member == 1:
            server.stop()
        recorded(self, record)

    monkeypatch.setattr(TrainingRuns, "member", die_at_the_second)
    code, summary = qnal_job(tmp_path / "first", *settings)
    assert code == 0
    assert summary["metrics"]["members"] == 3
    assert sum("cannot write to the MLflow store" in note for note in summary["notes"]) == 1
    monkeypatch.setattr(TrainingRuns, "member", recorded)

    start_server()
    for attempt in ("second", "third"):
        code, summary = qnal_job(tmp_path / attempt, *settings)
        assert code == 0
        assert not any("cannot write" in note for note in summary["notes"])
    client = MlflowClient(url)
    (experiment,) = [e for e in client.search_experiments() if e.name == "qnal"]
    runs = client.search_runs([experiment.experiment_id])
    members = sorted(
        run.data.tags["qnal.member"] for run in runs if run.data.tags["qnal.stage"] == "member"
    )
    assert members == ["0", "1", "2"]
    assert "RUNNING" not in {run.info.status for run in runs}
    assert len(client.search_model_versions("name = 'qnal-ensemble'")) == 1


def test_the_model_answers_over_http(pipeline, tmp_path):
    """500 spectra in one request: on the grid in JSON, raw ones in Parquet."""
    work, _ = pipeline
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = Server(
        "models", "serve", "-m", "models:/qnal-ensemble@champion", "-p", str(port),
        "--env-manager", "local", health=f"{url}/ping",
        MLFLOW_TRACKING_URI=f"sqlite:///{work / 'mlflow.db'}",
        PYTHONPATH=str(Path(__file__).parents[1]),
    )  # fmt: skip
    try:
        rng = np.random.default_rng(1)
        x = rng.normal(size=(500, 443)).astype(np.float32)
        records = [{"x": row.tolist()} for row in x]
        on_grid = answers(url, json.dumps({"dataframe_records": records}).encode(), JSON)
        wave = np.arange(3600, 9824, 0.8)
        flux = list(rng.normal(size=(500, len(wave))).astype(np.float32))
        table = pd.DataFrame({"flux": flux, "ivar": [np.ones(len(wave))] * 500})
        table["wave"] = [wave] * 500
        raw = answers(url, table.to_parquet(), PARQUET)
        record = {name: table[name][7].tolist() for name in table}
        alone = answers(url, json.dumps({"dataframe_records": [record]}).encode(), JSON)
    finally:
        server.stop()
    assert len(on_grid) == len(raw) == 500
    assert {"STATUS", "C_QSO_HZ", "VOTE_ENTROPY", "Z"} <= on_grid[0].keys() == raw[0].keys()
    for rows in (on_grid, raw):
        total = [row["C_NOT"] + row["C_QSO_LZ"] + row["C_QSO_HZ"] for row in rows]
        assert total == pytest.approx([1] * 500)
    assert alone[0]["P_NOT"] == pytest.approx(raw[7]["P_NOT"], abs=1e-5)
