"""Runs in MLflow after a pipeline, and jobs without a store."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.pyfunc import load_model

import qnal
from qnal.config.tracking_keys import TrackingConfig, TrackingKind
from qnal.ensemble.folder import EnsembleFolder
from qnal.errors import ConfigError
from qnal.stages.training_runs import TrainingRuns
from qnal.tracking import Note, flattened, open_recorder
from qnal.tracking.download import downloaded_ensemble
from qnal.tracking.metric_names import grouped
from qnal.tracking.moved_store import follow
from qnal.tracking.params import params


@pytest.fixture(scope="module")
def store(pipeline):
    work, summary = pipeline
    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if e.name == "qnal"]
    return client, client.search_runs([experiment.experiment_id]), summary


@pytest.fixture(scope="module")
def fresh_store(tmp_path_factory):
    """A folder with an empty store, to be copied: making one takes MLflow seconds."""
    folder = tmp_path_factory.mktemp("fresh")
    open_recorder(TrackingConfig(TrackingKind.sqlite, None, None), folder)
    return folder


@pytest.fixture
def work(fresh_store, tmp_path):
    """A work folder with an empty store."""
    return Path(shutil.copytree(fresh_store, tmp_path / "work"))


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
        curve = client.get_metric_history(run.info.run_id, "epoch/loss")
        assert [m.step for m in curve] == list(range(1, len(curve) + 1))
        assert len(curve) == run.data.metrics["epochs"]
        assert {"oob/completeness", "oob/nll", "oob/ece"} <= run.data.metrics.keys()
    assert {r.info.status for r in runs} == {"FINISHED"}


def test_artifacts_params_and_metrics_of_stages(store):
    client, runs, summary = store
    wanted = {
        "train": {"config.yaml", "ensemble.json", "figures", "model", "tables"},
        "som": {"config.yaml", "figures", "som"},
        "infer": {"config.yaml", "_dataset.json", "figures", "tables", "uncertainty.json"},
        "query": {"config.yaml", "figures", "funnel.json", "prospect.sh", "selection.csv",
                  "selection.fits", "selection.json", "selection.parquet",
                  "targetid_selection.txt"},
    }  # fmt: skip
    for stage, names in wanted.items():
        (run,) = [
            r
            for r in runs
            if r.data.tags["qnal.stage"] == stage
            and r.data.tags["mlflow.parentRunId"] == summary["mlflow_run_id"]
        ]
        assert {a.path for a in client.list_artifacts(run.info.run_id)} == names | {"note"}
        if stage == "train":
            assert run.data.params["ensemble.n"] == "3"
            assert run.data.params["train.batch_size"] == "32"
            sizes = client.get_metric_history(run.info.run_id, "oob_by_size/completeness")
            assert [m.step for m in sizes] == [1, 2, 3]
            assert sizes[-1].value == pytest.approx(run.data.metrics["oob/completeness"])
            assert {
                "oob/nll",
                "oob/calibrated_ece",
                "oob_desi/completeness",
            } <= run.data.metrics.keys()
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
def test_a_failed_block_is_a_failed_run(work, error, status):
    recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, "qnal"), work)
    with pytest.raises(error), recorder.run("bad") as run:
        raise error
    assert recorder.client.get_run(run.id).info.status == status


def test_a_note_without_its_figure(work):
    recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, None), work)
    with recorder.run("no petals") as run:
        run.note(Note("Done.", figure="figures/per_petal.png"))
    tags = recorder.client.get_run(run.id).data.tags
    assert tags["mlflow.note.content"] == "Done."


def test_a_run_adopts_members_only(work):
    """The finished run of a stage stays with the pipeline or sweep that was killed."""
    recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, None), work)
    tags = {"qnal.ensemble": "a"}
    with recorder.run("train", tags=tags | {"qnal.stage": "train"}) as old:
        children = {}
        for stage in ("infer", "member"):
            with recorder.run(stage, old, tags | {"qnal.stage": stage}) as child:
                children[stage] = child
    recorder.client.set_terminated(old.id, "KILLED")
    with recorder.run("train again") as new:
        TrainingRuns(new, EnsembleFolder(work / "none"), tags).adopt([])
    parents = {
        stage: recorder.client.get_run(child.id).data.tags["mlflow.parentRunId"]
        for stage, child in children.items()
    }
    assert parents == {"infer": old.id, "member": new.id}


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


def test_a_recorded_ensemble_scores_a_pool(pipeline, train_run, qnal_job, tmp_path, monkeypatch):
    work, _ = pipeline
    (pool,) = (work / "mock").glob("*/pool/tiles/perexp")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{work / 'mlflow.db'}")
    given = ["stage=infer", "infer=numpy", "infer.limit=1", f"data.pool={pool}",
             f"work_dir={tmp_path}", "tracking=none"]  # fmt: skip
    code, summary = qnal_job(tmp_path / "job", *given, f"ensemble.path=runs:/{train_run[0]}")
    assert code == 0 and summary["metrics"]["members"] == 3
    code, _ = qnal_job(tmp_path / "plain", *given, f"ensemble.path={train_run[1].path}")
    plain = json.loads((tmp_path / "plain" / "summary.json").read_text())
    assert plain["paths"]["scores"] == summary["paths"]["scores"]
    assert plain["metrics"]["forward_passes"] == 0
    code, summary = qnal_job(tmp_path / "none", *given, "ensemble.path=runs:/0123456789abcdef")
    assert code == 1 and "MLflow has no such artifact" in summary["error"]


def test_runs_say_what_they_are(store):
    _, runs, _ = store
    named = {r.data.tags["qnal.stage"]: r for r in runs if r.data.tags["qnal.stage"] != "member"}
    assert named["train"].info.run_name.startswith("train 3 × QuasarNET-4, ")
    assert named["infer"].info.run_name == "infer 200 spectra, 3 members"
    assert named["query"].info.run_name.startswith("query 10 by vote_entropy from ")
    for stage, run in named.items():
        tags = run.data.tags
        assert {"mlflow.user", "mlflow.source.name", "qnal.version", "qnal.data"} <= tags.keys()
        visible = {name for name in tags if not name.startswith("mlflow.")}
        assert all(name.startswith("qnal.") and "/" not in tags[name] for name in visible)
        assert 1 <= len(run.data.params) <= 16, stage
        metrics = [name for name in run.data.metrics if not name.startswith("system/")]
        assert len(metrics) <= 50, (stage, metrics)
        note = tags["mlflow.note.content"]
        assert "get-artifact?path=note/" in note
        assert "**Next**" in note and "`qnal stage=" in note


def test_inputs_of_runs(store):
    _, runs, summary = store
    found = {
        r.data.tags["qnal.stage"]: [(d.dataset.name, d.dataset) for d in r.inputs.dataset_inputs]
        for r in runs
    }
    ((name, labelled),) = found["train"]
    assert name == "labelled spectra"
    rows = json.loads(labelled.profile)["num_rows"]
    assert rows == summary["metrics"]["training_spectra"]
    description = EnsembleFolder(Path(summary["paths"]["ensemble"])).description()
    assert labelled.digest == description.training_set[:36]
    for stage, expected in (("infer", "pool"), ("query", "scores")):
        ((name, read),) = found[stage]
        assert (name, json.loads(read.profile)["num_rows"]) == (expected, 200)


def test_the_parents_metrics_have_the_members_spread(store):
    _, runs, _ = store
    (train,) = [r for r in runs if r.data.tags["qnal.stage"] == "train"]
    members = [r for r in runs if r.data.tags["qnal.stage"] == "member"]
    values = [r.data.metrics["oob/completeness"] for r in members]
    assert train.data.metrics["members/completeness_min"] == pytest.approx(min(values))
    assert train.data.metrics["members/completeness_max"] == pytest.approx(max(values))


def test_params_are_the_keys_that_matter_and_those_the_user_set():
    config = {"seed": 1, "query.n": 5, "som.shape": [4, 4], "query.strategy._target_": "a.Margin"}
    found = params("query", config, ["query.n=5", "query=margin", "+som.shape=[4,4]", "stage=query",
                                     "hydra.x=1"])  # fmt: skip
    assert found == {
        "query.n": 5,
        "query.strategy._target_": "a.Margin",
        "query": "margin",
        "som.shape": [4, 4],
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("oob_completeness", "oob/completeness"),
        ("oob_boss_purity", "oob_boss/purity"),
        ("oob_boss_brier", None),
        ("oob_class_nll", None),
        ("oob_inspected_purity", "oob_inspected/purity"),
        ("oob_inspected_calibrated_class_ece", None),
        ("control_purity_low", "control/purity_low"),
        ("control", "control"),
        ("labels_STAR", "labels/STAR"),
        ("selected", "selected"),
        ("funnel_0", "funnel/0"),
        ("oob_by_size/purity", "oob_by_size/purity"),
    ],
)
def test_metrics_in_groups(name, expected):
    assert grouped(name) == expected


def test_the_environments_experiment(monkeypatch, work):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    for given, expected in ((None, "mine"), ("theirs", "theirs")):
        recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, given), work)
        assert recorder.client.get_experiment(recorder.experiment).name == expected


def test_artifacts_of_a_database_lie_beside_it(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'a' / 'other.db'}")
    monkeypatch.chdir(tmp_path)
    recorder = open_recorder(TrackingConfig(TrackingKind.sqlite, None, None), tmp_path / "work")
    with recorder.run("here") as run:
        run.dictionary({"a": 1}, "a.json")
    assert (tmp_path / "a" / "mlartifacts" / run.id / "artifacts" / "a.json").exists()
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("made_before", [False, True])
def test_artifacts_of_the_default_experiment(monkeypatch, tmp_path, made_before):
    """They lie beside the database too, unless the experiment has artifacts elsewhere."""
    uri = f"sqlite:///{tmp_path / 'a' / 'other.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "Default")
    monkeypatch.chdir(tmp_path)
    if made_before:
        (tmp_path / "a").mkdir()
        MlflowClient(uri)
    config = TrackingConfig(TrackingKind.sqlite, None, None)
    with open_recorder(config, tmp_path / "work").run("here") as run:
        run.dictionary({"a": 1}, "a.json")
    assert (tmp_path / "a" / "mlartifacts" / run.id / "artifacts" / "a.json").exists()
    assert not (tmp_path / "mlruns").exists()

    client = MlflowClient(uri)
    mine = client.create_experiment("mine")
    client.log_text(client.create_run(mine).info.run_id, "b", "b.txt")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.chdir(tmp_path / "a")
    with open_recorder(config, tmp_path / "work").run("there") as run:
        run.dictionary({"a": 1}, "a.json")
    assert (tmp_path / "mlruns" / mine / run.id / "artifacts" / "a.json").exists()


def test_a_relative_artifact_location_is_refused(monkeypatch, work):
    config = TrackingConfig(TrackingKind.sqlite, None, "old")
    with open_recorder(config, work).run("first"):
        pass
    with closing(sqlite3.connect(work / "mlflow.db")) as store, store:
        store.execute("update experiments set artifact_location = 'mlruns/1' where name = 'old'")
    with pytest.raises(ConfigError, match="relative artifact location mlruns/1"):
        open_recorder(config, work)


@pytest.mark.parametrize("copied", [False, True])
def test_the_store_of_a_folder_that_was_moved_or_copied(work, tmp_path, copied):
    config = TrackingConfig(TrackingKind.sqlite, None, None)
    old, new = work, tmp_path / "a new place"
    with open_recorder(config, old).run("first") as first:
        first.dictionary({"a": 1}, "a.json")
    before = sorted(p.relative_to(old) for p in old.rglob("*"))
    shutil.copytree(old, new)
    if not copied:
        shutil.rmtree(old)
    recorder = open_recorder(config, new)
    with recorder.run("second") as second:
        second.dictionary({"b": 1}, "b.json")
    assert not recorder.failed
    assert (new / "mlartifacts" / second.id / "artifacts" / "b.json").exists()
    fetched = Path(recorder.client.download_artifacts(first.id, "a.json"))
    assert json.loads(fetched.read_text()) == {"a": 1}
    assert recorder.client.get_run(first.id).info.artifact_uri.startswith(new.as_uri())
    if copied:
        assert sorted(p.relative_to(old) for p in old.rglob("*")) == before
    else:
        assert not old.exists()


def test_artifacts_elsewhere_stay_where_they_are(work):
    config = TrackingConfig(TrackingKind.sqlite, None, None)
    recorder = open_recorder(config, work)
    elsewhere = recorder.client.create_experiment("elsewhere", "s3://bucket/mlartifacts")
    assert follow(work / "mlflow.db") == []
    assert recorder.client.get_experiment(elsewhere).artifact_location == "s3://bucket/mlartifacts"


def test_a_trained_ensemble_is_a_registered_model(pipeline):
    work, summary = pipeline
    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    model = client.get_registered_model("qnal-ensemble")
    assert model.aliases.keys() == {"candidate", "champion"}
    version = client.get_model_version_by_alias("qnal-ensemble", "champion")
    folder = EnsembleFolder(Path(summary["paths"]["ensemble"]))
    assert version.tags["qnal.ensemble"] == folder.description().fingerprint
    registered = downloaded_ensemble("models:/qnal-ensemble@champion", client.tracking_uri)
    checksums = [list(f.weight_files().values()) for f in (EnsembleFolder(registered), folder)]
    assert checksums[0] == checksums[1]


def test_the_model_scores_spectra_on_the_grid_and_raw_ones(pipeline):
    work, summary = pipeline
    registered = downloaded_ensemble(
        "models:/qnal-ensemble@champion", f"sqlite:///{work / 'mlflow.db'}"
    )
    model = load_model(str(registered.parents[1]))
    ensemble = qnal.load_ensemble(summary["paths"]["ensemble"])
    assert {c.name for c in model.metadata.signature.inputs} == {"x", "flux", "ivar", "wave"}
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, len(ensemble.grid)))
    on_grid = model.predict(pd.DataFrame({"x": list(x)}))
    expected = ensemble.score_on_grid(x.astype(np.float32)).to_pandas().drop(columns="ROW")
    pd.testing.assert_frame_equal(on_grid, expected)
    # Spectra with different wavelengths keep their order.
    waves = [np.arange(3600.0, 9824, 8), np.arange(3700.0, 9824, 4), np.arange(3600.0, 9824, 8)]
    flux = [rng.normal(size=len(w)) for w in waves]
    rows = {"flux": flux, "ivar": [np.ones(len(w)) for w in waves], "wave": waves}
    raw = model.predict(pd.DataFrame(rows))
    for i, wave in enumerate(waves):
        alone = ensemble.score(flux[i], np.ones(len(wave)), wave, pandas=True)
        assert raw["P_NOT"][i] == pytest.approx(alone["P_NOT"][0], abs=1e-6)
    with pytest.raises(Exception, match="flux, ivar and wave"):
        model.predict(pd.DataFrame({"flux": flux}))
