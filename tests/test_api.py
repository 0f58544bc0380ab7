"""The functions for Python do what the command does."""

import json

import pytest
from hydra.core.global_hydra import GlobalHydra

import qnal
from qnal.errors import ConfigError


def test_compose_gives_what_the_command_shows(composed):
    overrides = ["experiment=demo", "ensemble.n=4"]
    config = qnal.compose(overrides)
    assert (config.stage, config.ensemble.n, config.som.shape) == ("pipeline", 4, [12, 12])
    assert config == composed(*overrides)
    assert qnal.compose("experiment=demo ensemble.n=4") == config


def test_compose_leaves_hydras_state_alone():
    before = GlobalHydra.instance().is_initialized()
    qnal.compose()
    assert GlobalHydra.instance().is_initialized() == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.epocs=2"], r"Did you mean train\.epochs\?"),
        (["+train.epocs=2"], r"Did you mean train\.epochs\?"),
        (["data=moc"], "data=moc: there is no such choice; valid ones: desi_release, files, mock"),
        (["data=moc"], r"Did you mean data=mock\?"),
        (["stage=inferr"], r"valid ones: train, .*Did you mean stage=infer\?"),
        (["~train.epochs"], r"train\.epochs: it has no value"),
        (["ensemble.n=0"], r"ensemble\.n=0 cannot be used"),
        (["ensemble.n=many"], r"ensemble\.n: .*many"),
        (["stage"], "'stage' is not a setting"),
        (["data=mock", "data.mock.pool=-1"], r"data\.mock\.pool=-1"),
        (["objective=a b"], "objective=a b cannot be used; it takes the name of a metric"),
    ],
)
def test_mistakes_are_refused_when_composing(overrides, message):
    with pytest.raises(ConfigError, match=message):
        qnal.compose(overrides)


def test_a_config_folder_of_ones_own(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /train: small\nseed: 3\n"
    )
    config = qnal.compose(["experiment=mine"], config_dir=tmp_path)
    assert (config.seed, config.train.batch_size) == (3, 32)
    with pytest.raises(ConfigError, match=r"valid ones: bootstrap, .*mine"):
        qnal.compose(["experiment=yours"], config_dir=tmp_path)
    with pytest.raises(ConfigError, match="there is no such folder"):
        qnal.compose(config_dir=tmp_path / "none")


@pytest.mark.process
def test_run_returns_the_summary_that_it_writes(tmp_path):
    config = qnal.compose(
        ["stage=mock", "data=mock", "data.mock.labelled=0", "data.mock.boss=0", "tracking=none"]
    )
    config.work_dir = str(tmp_path)
    config.data.mock.pool = 20
    summary = qnal.run(config)
    assert (summary.status, summary.metrics["spectra"]) == ("done", 20)
    (path,) = (tmp_path / "runs" / "mock").glob("*/summary.json")
    assert summary.paths["summary"] == str(path)
    written = json.loads(path.read_text())
    assert written["metrics"] == summary.metrics
    assert (path.parent / "hydra" / "config.yaml").is_file()


def test_run_refuses(tmp_path):
    config = qnal.compose([f"work_dir={tmp_path}", "tracking=none"])
    with pytest.raises(ConfigError, match="stage is not set"):
        qnal.run(config)
    config.stage = "query"
    with pytest.raises(ConfigError, match=r"query\.scores"):
        qnal.run(config)
    (path,) = tmp_path.rglob("summary.json")
    assert json.loads(path.read_text())["status"] == "refused"
