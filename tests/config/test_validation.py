"""Every file of conf/ and experiments/, and the values that are refused."""

from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from qnal.config.plugin import check_settings, unknown_key
from qnal.config.schema import Config
from qnal.config.validation import keys, validated
from qnal.errors import ConfigError
from qnal.executors.dask import slurm
from qnal.executors.local import Serial
from qnal.spectra.mock.config import MockConfig

CONF = Path(__file__).parents[2] / "conf"
CHOICES = [
    f"{group.name}={choice.stem}"
    for group in sorted(CONF.iterdir())
    if group.is_dir()
    for choice in sorted(group.glob("*.yaml"))
]


def test_defaults_are_those_of_the_reference(composed):
    config = validated(composed())
    assert config.seed == 91701
    assert config.ensemble.n == 100
    assert (config.train.epochs, config.train.batch_size) == (8, 256)
    assert config.train.learning_rate == 2e-4
    assert config.train.min_steps == 600
    assert config.train.amsgrad is False
    assert (config.network.layers, config.network.filters, config.network.boxes) == (4, 100, 13)
    assert config.lines.names == ["LYA", "CIV(1548)", "CIII(1909)", "MgII(2796)", "Hbeta", "Halpha"]
    assert config.lines.bal == ["CIV(1548)"]
    ensemble = config.ensemble
    assert (ensemble.line_threshold, ensemble.min_lines, ensemble.high_z) == (0.95, 1, 2.1)
    assert ensemble.calibrate is True
    assert (config.som.shape, config.query.n, config.query.som_percentile) == ([45, 45], 1000, 15)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes_into_the_schema(composed, choice):
    config = validated(composed(choice))
    assert isinstance(config, Config)


def test_the_mock_survey_is_the_same_in_yaml_and_in_python(composed):
    assert validated(composed("data=mock")).data.mock == MockConfig()
    written = OmegaConf.load(CONF / "data" / "mock.yaml").mock
    assert set(written) == {f.name for f in fields(MockConfig)}


def test_the_references_command_line(composed):
    config = validated(composed("ensemble.n=200", "train.epochs=10", "train.amsgrad=true"))
    assert (config.ensemble.n, config.train.epochs, config.train.amsgrad) == (200, 10, True)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=-1", "seed=-1"),
        ("network.layers=0", "network.layers=0"),
        ("network.dropout=1", "network.dropout=1"),
        ("train.batch_size=1", "train.batch_size=1"),
        ("train.learning_rate=0", "train.learning_rate=0"),
        ("train.precision=float16", "auto"),
        ("train.group=0", "train.group=0"),
        ("ensemble.line_threshold=1", "ensemble.line_threshold=1"),
        ("som.shape=[45]", "som.shape"),
        ("som.shape=[0,5]", "som.shape"),
        ("infer.limit=0", "infer.limit=0"),
        ("query.n=0", "query.n=0"),
        ("query.som_percentile=100", "query.som_percentile=100"),
        ("query.max_outlier=inf", "query.max_outlier=inf"),
        ("lines.names=[]", "lines.names"),
        ("+train.epocs=3", "train.epocs"),
        ("train.epochs=2.5", "train.epochs"),
        ("infer.backend=abacus", "infer.backend"),
        ("infer.precision=float16", "infer.precision"),
    ],
)
def test_values_out_of_bounds_are_named(composed, override, words):
    with pytest.raises(ConfigError, match=r"[.?]$") as refused:
        validated(composed(override))
    assert words in str(refused.value)


def test_every_key_says_what_it_means():
    for name, field, _ in keys():
        if not name.startswith("data.mock."):  # described where the survey is made
            assert len(field.metadata["meaning"]) > 8, name


def test_unknown_keys_get_the_nearest_one():
    sentence = unknown_key("train.epocs", ["epochs", "threads"])
    assert sentence.endswith("valid ones in train: epochs, threads. Did you mean train.epochs?")
    assert "Did you mean" not in unknown_key("elephant", ["seed"])


def test_settings_are_held_to_the_signature_of_their_target():
    check_settings(dict, {"anything": 1}, "executor")  # takes any keyword
    check_settings(Serial, {"_target_": "", "threads": 1}, "executor")
    with pytest.raises(ConfigError, match=r"executor.thread: .* Did you mean executor.threads\?"):
        check_settings(Serial, {"_target_": "", "thread": 1}, "executor")


def test_settings_have_the_types_of_their_targets_arguments():
    good = {
        "jobs": 1,
        "cores": 2,
        "memory": "2GB",
        "walltime": "1",
        "directives": [],
        "queue": None,
    }
    check_settings(slurm, good, "executor")
    for name, value, words in (
        ("jobs", "many", "it takes a whole number."),
        ("jobs", True, "it takes a whole number."),
        ("memory", 16, "it takes text."),
        ("queue", 3, "it takes text or null."),
        ("directives", "--exclusive", "it takes a list."),
    ):
        with pytest.raises(ConfigError) as refused:
            check_settings(slurm, good | {name: value}, "executor")
        assert str(refused.value) == f"executor.{name}={value} cannot be used; {words}"
