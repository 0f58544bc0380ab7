"""The simulated loop as a job: shared starts, equal budgets, and going on after a kill."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

INTERRUPTED = runpy.run_path(str(Path(__file__).with_name("test_interrupted.py")))
LOOP = [
    "stage=loop",
    "data.mock.boss=0",
    "data.mock.pool=0",
    "data.mock.labelled=240",
    "network.filters=4",
    "ensemble.n=2",
    "loop.rounds=1",
    "loop.seed_labels=40",
    "loop.batch=20",
    "loop.repeats=2",
    "loop.steps=20",
    "loop.strategies=[vote_entropy]",
]
WARM = ["loop.warm_start=true", "loop.repeats=1", "loop.strategies=[]"]
STRATEGIES = {"random", "stratified", "vote_entropy"}


@pytest.fixture(scope="module")
def study(tmp_path_factory, qnal_job, tiny):
    work = tmp_path_factory.mktemp("loop")
    code, summary = qnal_job(work / "job", *tiny, *LOOP, f"work_dir={work}")
    assert code == 0, summary
    return work, summary


def test_summary_and_files(study):
    _, summary = study
    paths, metrics = summary["paths"], summary["metrics"]
    with Path(paths["curves"]).open() as file:
        header = next(csv.reader(file))
    assert header[:4] == ["strategy", "repeat", "round", "labels"]
    assert "completeness_at_purity_99" in header
    assert Path(paths["figure"]).is_file()
    assert {f"label_efficiency_{name}" for name in STRATEGIES - {"random"}} <= metrics.keys()
    assert metrics["trainings"] == 2 * (1 + 3)
    assert -1 < metrics["next_batch_gain_random_low"] < metrics["next_batch_gain_random_high"] < 1
    assert any(note.startswith("random: 20 more labels") for note in summary["notes"])
    assert metrics["forecasts"] == 0  # a forecast takes two rounds, and a third to compare with
    assert metrics["forecast_coverage"] is None
    assert Path(paths["figure"]).with_name("next_batch.png").is_file()


def test_budgets_are_equal_and_steps_nearly(study):
    curves = pd.read_csv(study[1]["paths"]["curves"])
    assert set(curves["strategy"]) == STRATEGIES
    assert len(curves) == 3 * 2 * 2
    assert (curves["labels"] == 40 + 20 * curves["round"]).all()
    assert curves["steps"].between(20, 24).all()  # whole epochs
    assert np.allclose(curves["inspector_hours"], curves["labels"] / 60)
    spent = curves.groupby(["strategy", "repeat"])["seconds"].cumsum()
    assert np.allclose(curves["cpu_hours"], spent / 3600)
    classes = [name for name in curves if name.startswith("labelled_")]
    assert (curves[classes].sum(axis=1) == curves["spectra"]).all()


def test_strategies_of_a_repeat_start_alike(study):
    curves = pd.read_csv(study[1]["paths"]["curves"])
    picks = pd.read_csv(study[1]["paths"]["picks"])
    for _, start in curves[curves["round"] == 0].groupby("repeat"):
        assert len(start.drop(columns="strategy").drop_duplicates()) == 1
    seeds = {
        key: set(part["TARGETID"])
        for key, part in picks[picks["round"] == 0].groupby(["repeat", "strategy"])
    }
    assert len({frozenset(s) for s in seeds.values()}) == 2  # one per repeat
    assert seeds[0, "random"] == seeds[0, "vote_entropy"] != seeds[1, "random"]
    later = picks[picks["round"] > 0].groupby(["repeat", "strategy"])["TARGETID"].agg(frozenset)
    assert len(set(later)) == 6


def test_nothing_is_picked_twice_and_no_held_out_target_ever(study):
    work, summary = study
    picks = pd.read_csv(summary["paths"]["picks"])
    assert (picks.groupby(["strategy", "repeat"]).size() == 60).all()
    assert not picks.duplicated(["strategy", "repeat", "TARGETID"]).any()
    (folder,) = (work / "labelled").iterdir()
    targets = np.unique(pd.read_parquet(folder / "labels.parquet")["TARGETID"])
    never = set(targets) - set(picks["TARGETID"])
    assert len(never) >= round(0.3 * len(targets))
    scored = [pd.read_parquet(f) for f in (work / "rounds").glob("[0-9a-f]*/scores.parquet")]
    assert len(scored) == 8
    common = set.intersection(*(set(table["INDEX"]) for table in scored))
    assert len(common) >= round(0.3 * len(targets))


def test_runs_in_mlflow(study):
    work, summary = study
    client = MlflowClient(f"sqlite:///{work / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("qnal").experiment_id])
    children = [r for r in runs if "mlflow.parentRunId" in r.data.tags]
    assert len(runs) == 7  # the study, and three strategies in two repeats; none of members
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == {summary["mlflow_run_id"]}
    curves = pd.read_csv(summary["paths"]["curves"])
    for run in children:
        tags = run.data.tags
        mine = curves[
            (curves["strategy"] == tags["qnal.strategy"])
            & (curves["repeat"] == int(tags["qnal.repeat"]))
        ]
        logged = client.get_metric_history(run.info.run_id, "average_precision")
        assert {m.step: m.value for m in logged} == pytest.approx(
            dict(zip(mine["labels"], mine["average_precision"], strict=True))
        )


def test_the_same_command_trains_nothing_and_another_strategy_only_its_rounds(
    study, qnal_job, tiny, capsys
):
    work, first = study
    rounds = rounds_made(work)
    more = ["loop.strategies=[vote_entropy,margin]", "loop.repeats=1"]
    code, summary = qnal_job(work / "again", *tiny, *LOOP, *more, f"work_dir={work}")
    assert code == 0
    now = rounds_made(work)
    assert now.items() >= rounds.items()
    assert len(now) - len(rounds) <= 1  # the seed round is shared
    before, after = (pd.read_csv(s["paths"]["curves"]) for s in (first, summary))
    before = before[before["repeat"] == 0].reset_index(drop=True)
    after = after[after["strategy"] != "margin"].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, after, check_dtype=False)


def test_growing_batches_share_their_first_rounds(study, qnal_job, tiny, capsys):
    work, _ = study
    rounds = rounds_made(work)
    more = ["loop.growth=1.1", "loop.rounds=2", "loop.repeats=1"]
    code, summary = qnal_job(work / "growth", *tiny, *LOOP, *more, f"work_dir={work}")
    assert code == 0, summary
    curves = pd.read_csv(summary["paths"]["curves"])
    assert (curves.pivot(index="round", columns="strategy", values="labels").T == [40, 60, 82]).all(
        axis=None
    )
    picks = pd.read_csv(summary["paths"]["picks"])
    assert set(picks.groupby(["strategy", "round"]).size()) == {40, 20, 22}
    assert len(rounds_made(work)) - len(rounds) == 3
    assert set(pd.read_csv(summary["paths"]["forecasts"])["batch"]) == {22}
    assert "7 trainings of 2 members, 20 to 2" in capsys.readouterr().err


def rounds_made(work: Path) -> dict[str, int]:
    """When each complete round was written, by its name."""
    found = (work / "rounds").glob("[0-9a-f]*/round.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


@pytest.mark.slow
def test_priors_beside_each_other(study, qnal_job, tiny):
    work, first = study
    rounds = rounds_made(work)
    more = ["loop.priors=[none,mix]", "loop.repeats=1"]
    prior = ["train.prior_spectra=60", "train.prior_weight=40"]
    job = [*tiny, *LOOP, *more, *prior, f"work_dir={work}"]
    code, summary = qnal_job(work / "priors", *job)
    assert code == 0, summary
    # Those without a prior are shared; without labels, there is one of the prior alone.
    assert len(rounds_made(work)) - len(rounds) == 4 + 1
    assert summary["metrics"]["trainings"] == 2 * 4 + 1
    alone = pd.read_csv(summary["paths"]["no_labels"])["completeness_at_purity_99"]
    found = summary["metrics"]["completeness_at_purity_99_without_labels"]
    assert len(alone) == 1 and found == pytest.approx(alone[0])
    before, after = (pd.read_csv(s["paths"]["curves"]) for s in (first, summary))
    before = before[before["repeat"] == 0].set_index(["strategy", "round"]).sort_index()
    after = after.set_index(["strategy", "round"]).sort_index()
    alone = after.loc[[*STRATEGIES]].sort_index()
    pd.testing.assert_frame_equal(before, alone[before.columns], check_dtype=False)
    assert set(after.index.levels[0]) == STRATEGIES | {f"{name}_mix" for name in STRATEGIES}
    assert after.loc["random_mix", "spectra"].equals(after.loc["random", "spectra"])
    assert after.loc["random_mix", "steps"].between(20, 24).all()
    picks = pd.read_csv(summary["paths"]["picks"])
    chosen = {name: set(part["TARGETID"]) for name, part in picks.groupby("strategy")}
    assert chosen["random_mix"] == chosen["random"]
    (folder,) = (work / "labelled").iterdir()
    assert set(picks["TARGETID"]) <= set(pd.read_parquet(folder / "labels.parquet")["TARGETID"])
    assert "label_efficiency_random_mix" in summary["metrics"]
    assert "label_efficiency_vote_entropy_mix_over_random_mix" in summary["metrics"]


@pytest.mark.slow
def test_goes_on_after_a_kill(study, qnal_job, tiny, tmp_path):
    whole, undisturbed = study
    job = [*tiny, *LOOP, f"work_dir={tmp_path}", "tracking=none", "loop.repeats=1"]

    def in_the_third_round():
        made = rounds_made(tmp_path)
        begun = (tmp_path / "rounds/.training").glob("*/ensemble/members/0000.json")
        return len(made) == 2 and any(path.parts[-4] not in made for path in begun)

    INTERRUPTED["killed_when"](job, in_the_third_round)
    made = rounds_made(tmp_path)
    assert 2 <= len(made) < 4
    assert list(tmp_path.glob("rounds/.training/*/ensemble/members/0000.h5"))
    code, summary = qnal_job(tmp_path / "again", *job)
    assert code == 0
    assert not list((tmp_path / "rounds/.training").iterdir())
    now = rounds_made(tmp_path)
    assert len(now) == 4
    assert now.items() >= made.items()
    assert now.keys() <= rounds_made(whole).keys()
    assert not list(tmp_path.glob("rounds/**/*.part"))
    before, after = (pd.read_csv(s["paths"]["curves"]) for s in (undisturbed, summary))
    before = before[before["repeat"] == 0].reset_index(drop=True)
    columns = [c for c in before if c not in ("seconds", "cpu_hours")]
    pd.testing.assert_frame_equal(before[columns], after[columns])


def test_warm_starts(study, qnal_job, tiny, capsys):
    work, first = study
    rounds = rounds_made(work)
    job = [*tiny, *LOOP, *WARM, f"work_dir={work}"]
    code, summary = qnal_job(work / "warm", *job)
    assert code == 0, summary
    assert "continues from the networks of the round before" in capsys.readouterr().err
    now = rounds_made(work)
    # The round of the seed labels is made again, for its networks, and the others are new.
    kept = {path.parent.name for path in (work / "rounds").glob("*/networks")}
    assert {name for name in now if now[name] != rounds.get(name)} == kept
    assert len(kept) == 3 and len(now) == len(rounds) + 2
    cold, warm = (pd.read_csv(s["paths"]["curves"]) for s in (first, summary))
    cold = cold[(cold["repeat"] == 0) & (cold["strategy"] != "vote_entropy")].reset_index(drop=True)
    seed = cold["round"] == 0
    columns = [c for c in cold if c not in ("seconds", "cpu_hours")]
    pd.testing.assert_frame_equal(warm[seed][columns], cold[seed][columns], check_dtype=False)
    same = ["strategy", "round", "labels", "spectra", "members", "steps"]
    pd.testing.assert_frame_equal(warm[same], cold[same])
    assert (warm[~seed]["nll"] != cold[~seed]["nll"]).all()
    # The same command trains nothing.
    code, again = qnal_job(work / "warm_again", *job)
    assert code == 0 and rounds_made(work) == now
    pd.testing.assert_frame_equal(pd.read_csv(again["paths"]["curves"]), warm)


@pytest.mark.slow
def test_warm_starts_go_on_after_a_kill(study, qnal_job, tiny, tmp_path):
    whole, _ = study
    code, undisturbed = qnal_job(tmp_path / "warm", *tiny, *LOOP, *WARM, f"work_dir={whole}")
    assert code == 0
    work = tmp_path / "work"
    job = [*tiny, *LOOP, *WARM, f"work_dir={work}", "tracking=none"]

    def in_the_second_round():
        return any(
            path.parts[-4] not in rounds_made(work)
            for path in (work / "rounds/.training").glob("*/ensemble/members/0000.json")
            if rounds_made(work)
        )

    INTERRUPTED["killed_when"](job, in_the_second_round)
    made = rounds_made(work)
    assert 1 <= len(made) < 3
    code, summary = qnal_job(tmp_path / "again", *job)
    assert code == 0
    assert rounds_made(work).items() >= made.items()
    assert rounds_made(work).keys() <= rounds_made(whole).keys()
    assert len(list((work / "rounds").glob("[0-9a-f]*/networks/ensemble.json"))) == 3
    before, after = (pd.read_csv(s["paths"]["curves"]) for s in (undisturbed, summary))
    columns = [c for c in before if c not in ("seconds", "cpu_hours")]
    pd.testing.assert_frame_equal(before[columns], after[columns])


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("loop.strategies=[guess]", "there is no strategy guess; valid ones: entropy, "),
        ("loop.batch=1000", "targets, but only"),
        ("loop.growth=0.5", "loop.growth"),
        ("loop.test=1", "test=1.0 cannot be used"),
        ("loop.oracle=deaf", "loop.oracle"),
    ],
)
def test_refused(study, qnal_job, tiny, setting, sentence):
    work, _ = study
    code, summary = qnal_job(work / "refused", *tiny, *LOOP, setting, f"work_dir={work}")
    assert code == 1
    assert sentence in summary["error"]


def test_training_settings_at_one_number_of_labels(study, qnal_job, tiny):
    """Without further batches: no strategies but the baseline, and one ensemble per prior."""
    work, summary = study
    settings = [
        *("loop.rounds=0", "loop.priors=[none,mix]", "train.prior_spectra=60"),
        *("train.prior_weight=30", "train.augment=[noise,gap]", "train.augment_versions=2"),
    ]
    code, augmented = qnal_job(work / "settings", *tiny, *LOOP, *settings, f"work_dir={work}")
    assert code == 0, augmented
    curves = pd.read_csv(augmented["paths"]["curves"])
    assert list(curves["strategy"]) == ["random", "random_mix"] * 2
    assert augmented["metrics"]["trainings"] == 2 * 2 + 2  # and one without labels per repeat
    run = MlflowClient(f"sqlite:///{work / 'mlflow.db'}").get_run(augmented["mlflow_run_id"])
    assert run.info.run_name == "loop: 40 random labels, 2 repeats"
    # Augmentation changes the ensembles, not what they are trained on or how long.
    plain = pd.read_csv(summary["paths"]["curves"])
    plain = plain[(plain["strategy"] == "random") & (plain["round"] == 0)]
    alone = curves[curves["strategy"] == "random"]
    assert (plain["nll"].to_numpy() != alone["nll"].to_numpy()).all()
    same = ["repeat", "labels", "spectra", "steps"]
    assert plain[same].to_numpy().tolist() == alone[same].to_numpy().tolist()
