"""Redrock's results beside a pool: joined, exported, and neutral where there are none."""

import json
import shutil
from pathlib import Path

import fitsio
import numpy as np
import pyarrow.parquet as pq
import pytest

from qnal.lines import QUASARNET_LINES
from qnal.network.weights import write_network
from qnal.scores.qso_qn import accepted_by_catalogue
from qnal.scores.redrock_columns import REDROCK_COLUMNS
from qnal.spectra.mock import MockConfig, write_survey


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> Path:
    """A pool with results of Redrock beside its coadds."""
    config = MockConfig(
        labelled=0, boss=0, pool=90, fibres=30, snr_min=2, dead_cameras=0, redrock=True
    )
    return write_survey(config, tmp_path_factory.mktemp("survey")).pool


@pytest.fixture
def pool(survey, tmp_path) -> Path:
    return Path(shutil.copytree(survey, tmp_path / "perexp"))


@pytest.fixture
def infer(qnal_job, tmp_path, pool, random_network):
    weights = tmp_path / "weights"
    weights.mkdir()
    for k in range(2):
        write_network(random_network(k), weights / f"net_{k}.h5")

    def run(*overrides, work="work", code=0):
        found, summary = qnal_job(
            tmp_path / "job",
            *("stage=infer", f"ensemble.path={weights}", f"data.pool={pool}", "tracking=none"),
            *(f"work_dir={tmp_path / work}", "executor=serial", "infer=numpy", *overrides),
        )
        assert found == code, summary
        return summary

    return run


def parts(summary):
    root = Path(summary["paths"]["scores"])
    files = root.rglob("parts/**/*.parquet")
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in files}


def table(summary):
    return pq.read_table(Path(summary["paths"]["scores"])).to_pandas()


def moved(pool, folder):
    """Move Redrock's files out of the pool."""
    for path in [*pool.rglob("redrock-*"), *pool.rglob("qso_mgii-*")]:
        new = folder / path.relative_to(pool)
        new.parent.mkdir(parents=True, exist_ok=True)
        path.rename(new)


def test_files_that_come_later_cost_no_forward_pass(infer, pool, tmp_path):
    at_once = infer(work="other")
    moved(pool, tmp_path / "rr")
    without = infer()
    assert not set(REDROCK_COLUMNS.names) & set(table(without))
    assert not any(name.startswith("redrock") for name in without["metrics"])
    assert not (Path(without["paths"]["scores"]) / "_redrock.parquet").exists()
    before = parts(without)
    later = infer(f"data.redrock={tmp_path / 'rr'}")
    assert later["metrics"]["forward_passes"] == later["metrics"]["files_read"] == 0
    assert parts(later) == parts(at_once) != before
    metrics, rows = later["metrics"], table(later)
    assert metrics["redrock_answered"] == len(rows) == metrics["spectra"]
    assert set(rows["SPECTYPE_RR"]) == {"QSO", "GALAXY", "STAR"} and rows["IS_QSO_MGII"].any()
    again = infer()  # and gone again
    assert parts(again) == before


def test_every_answer_lies_beside_its_target(infer, pool):
    rows = table(infer()).set_index(["FILE", "TARGETID"])
    for path in pool.rglob("redrock-*.fits"):
        name = path.relative_to(pool).as_posix().replace("redrock-", "coadd-")
        for answer in fitsio.read(str(path), ext="REDSHIFTS"):
            row = rows.loc[(name, answer["TARGETID"])]
            assert row["Z_RR"] == answer["Z"] and row["ZWARN_RR"] == answer["ZWARN"]
            assert row["DELTACHI2_RR"] == answer["DELTACHI2"]


def test_what_is_wrong_is_reported_once_and_counts_add_up(infer, pool):
    first, second, third, *_ = sorted(pool.rglob("redrock-*.fits"))
    first.unlink()
    answers = fitsio.read(str(second), ext="REDSHIFTS")
    answers["TARGETID"] += 10**12
    second.unlink()
    fitsio.write(str(second), answers, extname="REDSHIFTS")
    answers = fitsio.read(str(third), ext="REDSHIFTS")
    third.unlink()
    fitsio.write(str(third), answers[3:], extname="REDSHIFTS")
    for _ in range(2):
        summary = infer()
        metrics, notes = summary["metrics"], " ".join(summary["notes"])
        counts = [metrics[f"redrock_{name}"] for name in ("files", "missing", "refused")]
        assert sum(counts) == metrics["files"] and counts[1:] == [1, 1]
        rows = metrics["redrock_answered"] + metrics["redrock_unanswered"]
        assert rows == metrics["spectra"] and metrics["redrock_unanswered"] > 3
        assert f"{second}: it belongs to other targets" in notes
        assert "have no results of Redrock" in notes and "3 spectra of 1 files have no row" in notes
    assert table(summary)["Z_RR"].isna().sum() == metrics["redrock_unanswered"]


def test_the_honest_table(infer, pool, tmp_path):
    given = ["infer.qso_qn=true", "infer.redrock_priors=true", "infer.qn_confidence=0.8"]
    summary = infer(*given)
    files = len(list(pool.rglob("coadd-*.fits")))
    metrics = summary["metrics"]
    assert metrics["qso_qn_tables"] + metrics["qso_qn_without"] == files
    assert metrics["qso_qn_without"] and "No qso_qn table for" in " ".join(summary["notes"])
    priors = Path(summary["paths"]["redrock_priors"])
    wanted = 0
    for path in priors.rglob("priors-*.fits"):  # Redrock is run again
        prior = fitsio.read(str(path), ext="PRIORS")
        wanted += len(prior)
        again = np.zeros(len(prior), [("TARGETID", "i8"), ("Z", "f4"), ("ZERR", "f4"),
                                      ("ZWARN", "i2"), ("SPECTYPE", "S6")])  # fmt: skip
        again["TARGETID"], again["SPECTYPE"] = prior["TARGETID"], b"QSO"
        again["Z"] = prior["Z"] + 0.4 * prior["SIGMA"]
        name = path.relative_to(priors).as_posix().replace("priors-", "redrock-")
        (tmp_path / "rerun" / name).parent.mkdir(parents=True, exist_ok=True)
        fitsio.write(str(tmp_path / "rerun" / name), again, extname="REDSHIFTS")
    assert wanted == metrics["priors_targets"] > 0
    done = infer(*given, f"data.redrock_rerun={tmp_path / 'rerun'}")
    assert done["metrics"]["qso_qn_tables"] == files and not done["metrics"]["qso_qn_without"]
    flagged = 0
    for path in Path(done["paths"]["qso_qn"]).rglob("qso_qn-*.fits"):
        rows = fitsio.read(str(path), ext="QN_RR")
        name = path.relative_to(done["paths"]["qso_qn"]).as_posix().replace("qso_qn-", "redrock-")
        first = fitsio.read(str(pool / name), ext="REDSHIFTS")
        assert rows["TARGETID"].tolist() == first["TARGETID"].tolist()
        flagged += rows["IS_QSO_QN_NEW_RR"].sum()
        accepted = rows[accepted_by_catalogue(rows, QUASARNET_LINES)]
        z = np.where(accepted["IS_QSO_QN_NEW_RR"], accepted["Z_NEW"], accepted["Z_RR"])
        assert (np.abs(z - accepted["Z_QN"]) <= 0.0815 * (1 + accepted["Z_QN"])).all()
    assert flagged == wanted


def test_priors_for_all_quasars_need_no_redrock(infer, pool, tmp_path):
    moved(pool, tmp_path / "rr")
    summary = infer("infer.redrock_priors=all", "infer.qso_qn=true")
    assert summary["metrics"]["priors_targets"] > 0 == summary["metrics"]["priors_without"]
    assert summary["metrics"]["qso_qn_tables"] == 0
    assert not list(Path(summary["paths"]["scores"]).rglob("qso_qn-*.fits"))


def test_a_folder_that_is_not_there_is_refused(infer):
    summary = infer("data.redrock=nowhere", code=1)
    assert summary["error"] == "data.redrock=nowhere: there is no such folder."


def test_real_files(qnal_job, real_data, tmp_path):
    """Two real coadds with results of Redrock, and one in an old layout that cannot be scored."""
    weights = real_data / "quasarnet" / "test_weights_6_layer.h5"
    code, summary = qnal_job(
        tmp_path / "job",
        *("stage=infer", f"ensemble.path={weights}", f"data.pool={real_data / 'redrock'}"),
        *(f"work_dir={tmp_path / 'work'}", "executor=serial", "infer=numpy", "tracking=none"),
        "infer.qso_qn=true",
    )
    assert code == 3, json.dumps(summary)
    rows = table(summary)
    answers = dict(zip(rows["TARGETID"], rows["Z_RR"], strict=True))
    assert answers[39633345008634465] == pytest.approx(0.36874355)
    assert answers[39089837499744649] == pytest.approx(0.00726967)
    assert set(rows["SPECTYPE_RR"]) == {"GALAXY"}
    # The network takes one of the two galaxies for a quasar, and Redrock was not run again.
    assert (summary["metrics"]["qso_qn_tables"], summary["metrics"]["qso_qn_without"]) == (1, 1)
    assert "coadd-special-dark-27247.fits (1 targets need a re-run" in " ".join(summary["notes"])
