"""Runs in MLflow after a pipeline, and jobs without a store."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

import qnal
from qnal.config.schema import TrackingConfig, TrackingKind
from qnal.ensemble.folder import EnsembleFolder
from qnal.errors import ConfigError
from qnal.tracking import flattened, open_recorder


@pytest.fixture(scope="module")
def store(pipeline):
    work, summary = pipeline
    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "qnal"]
    return client, client.search_runs([experiment.experiment_id]), summary


def test_one_run_per_stage_and_one_child_per_member(store):
    client, runs, summary = store
    stages = {
        r.data.tags["qnal.stage"]: r
        for r in runs
        if r.data.tags.get("mlflow.parentRunId") == summary["mlflow_run_id"]
    }
    assert set(stages) == {"train", "som", "infer", "query"}
    members = [r for r in runs if r.data.tags["qnal.stage"] == "member"]
    train = stages["train"].info.run_id
    mine = [r for r in members if r.data.tags["mlflow.parentRunId"] == train]
    assert len(mine) == 3
    for run in mine:
        artifacts = {a.path for a in client.list_artifacts(run.info.run_id)}
        k = int(run.data.tags["qnal.member"])
        assert artifacts == {f"{k:04d}.h5", f"{k:04d}_oob.parquet"}
        curve = client.get_metric_history(run.info.run_id, "loss")
        assert [m.step for m in curve] == list(range(1, len(curve) + 1))
        assert len(curve) == run.data.metrics["epochs"]
        assert {"oob_completeness", "oob_nll", "oob_ece"} <= run.data.metrics.keys()
    assert {r.info.status for r in runs} == {"FINISHED"}


def test_artifacts_params_and_metrics_of_stages(store):
    client, runs, summary = store
    wanted = {
        "train": {"config.yaml", "ensemble.json", "figures", "tables"},
        "som": {"config.yaml", "figures", "som"},
        "infer": {"config.yaml", "_dataset.json", "figures", "tables", "uncertainty.json"},
        "query": {"config.yaml", "figures", "funnel.json", "selection.csv",
                  "targetid_selection.txt"},
    }  # fmt: skip
    for stage, names in wanted.items():
        (run,) = [
            r
            for r in runs
            if r.data.tags["qnal.stage"] == stage
            and r.data.tags["mlflow.parentRunId"] == summary["mlflow_run_id"]
        ]
        assert {a.path for a in client.list_artifacts(run.info.run_id)} == names
        assert run.data.params["ensemble.n"] == "3"
        assert run.data.params["train.batch_size"] == "32"
        if stage == "train":
            sizes = client.get_metric_history(run.info.run_id, "oob_by_size_completeness")
            assert [m.step for m in sizes] == [1, 2, 3]
            assert sizes[-1].value == pytest.approx(run.data.metrics["oob_completeness"])
            assert {"oob_nll", "oob_calibrated_ece", "oob_desi_brier"} <= run.data.metrics.keys()
    (pipeline_run,) = [r for r in runs if r.info.run_id == summary["mlflow_run_id"]]
    assert pipeline_run.data.metrics["selected"] == summary["metrics"]["selected"]


def test_tracking_none_ignores_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    recorder = open_recorder(TrackingConfig(TrackingKind.none, None, "qnal"), tmp_path)
    with recorder.run("nothing") as run:
        run.metrics({"a": 1})
        run.config({"b": 2})
    assert run.id is None
    assert list(tmp_path.iterdir()) == []


def test_the_environments_store_is_used_instead_of_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, "qnal"), tmp_path)
    with recorder.run("here") as run:
        run.metrics({"a": 1.5, "undefined": None})
    assert not (tmp_path / "mlflow.db").exists()
    stored = MlflowClient(f"sqlite:///{tmp_path / 'other.db'}").get_run(run.id)
    assert stored.data.metrics == {"a": 1.5}
    assert stored.info.status == "FINISHED"


def test_a_job_continues_without_its_server(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = TrackingConfig(TrackingKind.server, "http://127.0.0.1:9", "qnal")
    recorder = open_recorder(config, tmp_path)
    with recorder.run("lost") as run:
        run.metrics({"a": 1})
    assert run.id is None
    assert capsys.readouterr().err.count("continuing without tracking") == 1


def test_a_server_needs_an_address(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match=r"tracking\.uri"):
        open_recorder(TrackingConfig(TrackingKind.server, None, "qnal"), tmp_path)


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_failed_block_is_a_failed_run(tmp_path, error, status):
    recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, "qnal"), tmp_path)
    with pytest.raises(error), recorder.run("bad") as run:
        raise error
    stored = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run.id)
    assert stored.info.status == status


def test_flattened():
    nested = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": {}}
    assert flattened(nested) == {"a.b": 1, "a.c.d": [1, 2], "e": None, "f": {}}


def test_summary_is_json_without_nan(pipeline):
    work, _ = pipeline
    for path in Path(work).rglob("summary*/*.json"):
        json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))


@pytest.fixture
def train_run(store):
    """The run that recorded the ensemble, and the folder of the ensemble."""
    _, runs, summary = store
    (run,) = [
        r.info.run_id
        for r in runs
        if r.data.tags["qnal.stage"] == "train"
        and r.data.tags["mlflow.parentRunId"] == summary["mlflow_run_id"]
    ]
    return run, EnsembleFolder(Path(summary["paths"]["ensemble"]))


@pytest.mark.parametrize("artifact", ["", "/ensemble.json"])
def test_a_recorded_ensemble_is_loaded(pipeline, train_run, monkeypatch, artifact):
    work, _ = pipeline
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{work / 'mlflow.db'}")
    run, folder = train_run
    loaded = qnal.load_ensemble(f"runs:/{run}{artifact}", backend="numpy")
    assert loaded.stored.checksums == tuple(folder.weight_files().values())
    assert loaded.stored.description == folder.description()


def test_a_recorded_ensemble_scores_a_pool(pipeline, train_run, qnal_job, tmp_path):
    work, _ = pipeline
    (pool,) = (work / "mock").glob("*/pool/tiles/perexp")
    given = ["stage=infer", "infer=numpy", "infer.limit=1", f"data.pool={pool}",
             f"work_dir={tmp_path}", f"tracking.uri=sqlite:///{work / 'mlflow.db'}",
             "tracking.experiment=recorded"]  # fmt: skip
    code, summary = qnal_job(tmp_path / "job", *given, f"ensemble.path=runs:/{train_run[0]}")
    assert code == 0 and summary["metrics"]["members"] == 3
    code, _ = qnal_job(tmp_path / "plain", *given, f"ensemble.path={train_run[1].path}")
    plain = json.loads((tmp_path / "plain" / "summary.json").read_text())
    assert plain["paths"]["scores"] == summary["paths"]["scores"]
    assert plain["metrics"]["forward_passes"] == 0
    code, summary = qnal_job(tmp_path / "none", *given, "ensemble.path=runs:/0123456789abcdef")
    assert code == 1 and "MLflow has no such artifact" in summary["error"]
