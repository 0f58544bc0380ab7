"""Each experiment opens with what it is, and runs in a shrunken form."""

import itertools
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from qnal.config.validation import validated

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))

SMALL_NETWORKS = [
    "network.filters=8", "train.epochs=1", "train.min_steps=0", "train.batch_size=32",
    "ensemble.n=2", "ensemble.line_threshold=0.5", "executor=serial",
]  # fmt: skip
SMALL_SURVEY = [
    "data.mock.labelled=100", "data.mock.boss=40", "data.mock.pool=60", "data.mock.fibres=30",
    "data.mock.petals=1", "data.mock.snr_min=2", "som.shape=[3,3]", "som.epochs=2", "query.n=5",
]  # fmt: skip
SMALL_LOOP = [
    "loop.rounds=1", "loop.seed_labels=20", "loop.batch=10", "loop.repeats=1", "loop.steps=10",
    "som.shape=[3,3]", "som.epochs=2",
]  # fmt: skip
# slurm needs a cluster; tests/executors runs its executor's parts.
RUN = [name for name in EXPERIMENTS if name != "slurm"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_what_it_costs_and_gives(name, composed):
    text = (ROOT / "experiments" / f"{name}.yaml").read_text()
    head = text[: text.index("\ndefaults:")]
    assert head.startswith("# @package _global_\n")
    fields = re.findall(r"^# (Source|Command|Cost|Expect): +\S", head, re.M)
    assert fields == ["Source", "Command", "Cost", "Expect"]
    assert f"qnal experiment={name}" in head
    assert validated(composed(f"experiment={name}")).stage


def jobs_of(name):
    """The overrides of each job of an experiment; several if it is a sweep."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", [f"experiment={name}"], return_hydra_config=True)
    varied = config.hydra.sweeper.get("params") or {}
    values = [[f"{key}={value}" for value in str(v).split(",")] for key, v in varied.items()]
    return [list(job) for job in itertools.product(*values)]


def release_tree(survey, folder):
    """The coadds of a mock survey in the layout of a release; its root."""
    root = folder / "redux"
    coadds = [
        *(survey / "training").rglob("coadd-*.fits"),
        *(survey / "pool").rglob("coadd-*.fits"),
    ]
    for pixel, coadd in enumerate(sorted(coadds), start=9900):
        place = root / f"fuji/healpix/sv1/dark/{pixel // 100}/{pixel}/coadd-sv1-dark-{pixel}.fits"
        place.parent.mkdir(parents=True)
        place.symlink_to(coadd)
    return root


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_shrunken_experiment(name, qnal_job, pipeline, tmp_path):
    work, whole = pipeline
    (survey,) = (path.parent for path in (work / "mock").glob("*/pool"))
    given = {
        "reference": ["data=mock", *SMALL_SURVEY, *SMALL_NETWORKS],
        "ensemble_size": [
            *SMALL_NETWORKS,
            f"data.desi.spectra={survey / 'training' / 'tiles'}",
            f"data.desi.truth={survey / 'training' / 'truth.csv'}",
        ],
        "loop-quick": [*SMALL_SURVEY, *SMALL_NETWORKS, *SMALL_LOOP],
        "loop-2x2": [
            *SMALL_NETWORKS, *SMALL_LOOP, "train.prior_spectra=60", "train.prior_weight=20",
            f"data.desi.spectra={survey / 'training' / 'tiles'}",
            f"data.desi.truth={survey / 'training' / 'truth.csv'}",
        ],
        "loop-shifted": [
            *SMALL_SURVEY, *SMALL_NETWORKS, *SMALL_LOOP, "train.prior_spectra=60",
            "train.prior_weight=20",
        ],
        "reference_scoring": [
            f"data.pool={survey / 'pool'}", f"ensemble.path={whole['paths']['ensemble']}",
            f"som.path={whole['paths']['som']}", "infer.limit=2", "executor=serial",
        ],
        "edr": [
            f"data.release.root={release_tree(survey, tmp_path)}", *SMALL_NETWORKS,
            f"data.desi.truth={survey / 'training' / 'truth.csv'}", "train.where=true",
            "som.shape=[3,3]", "som.epochs=2", "query.n=5",
        ],
        "reference_query": [f"query.scores={whole['paths']['scores']}", "query.n=5"],
    }.get(name, [*SMALL_SURVEY, *SMALL_NETWORKS])  # fmt: skip
    where = [f"work_dir={tmp_path}", "tracking=none"]
    for number, job in enumerate(jobs_of(name)):
        folder = tmp_path / str(number)
        code, summary = qnal_job(folder, f"experiment={name}", *job, *given, *where)
        assert code == 0, summary
        if name == "reference_scoring":
            assert Path(summary["paths"]["csv"]).is_file()
        if name == "ensemble_size":
            assert (folder / "ensemble_size.csv").is_file()
    ensembles = list((tmp_path / "ensembles").glob("*"))
    none_made = name.startswith(("reference_", "loop-"))
    assert len(ensembles) == (0 if none_made else len(jobs_of(name)))
