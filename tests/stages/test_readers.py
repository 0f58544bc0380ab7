"""Stages on pools of other surveys."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from qnal.errors import ConfigError
from qnal.job import checked
from tests.spectra.readers.survey_files import SameSpectra

SCORES = ["C_NOT", "P_NOT", "P_QSO_LZ", "ENTROPY", "Z", "C_LYA", "Z_LYA", "C_MgII"]
READERS = {
    "desi": ["reader=desi"],
    "sdss": ["reader=sdss"],
    "phase3": ["reader=phase3"],
    "table": ["reader=table", "reader.wave_unit=nm"],
}


@pytest.fixture(scope="module")
def settings(mock_data):
    weights = mock_data / "quasarnet" / "test_weights.h5"
    return [f"ensemble.path={weights}", "infer=numpy", "executor=serial", "tracking=none"]


@pytest.fixture(scope="module")
def scored(qnal_job, settings, tmp_path_factory):
    """Summaries of stage=infer and the scores of the same spectra, by reader."""
    same = SameSpectra.make()
    found = {}
    for name, reader in READERS.items():
        work = tmp_path_factory.mktemp(name)
        pool = work / "pool"
        pool.mkdir()
        write = {"desi": same.coadd, "table": same.parquet}.get(name) or getattr(same, name)
        write(pool)
        code, summary = qnal_job(
            work / "job", "stage=infer", *settings, *reader, f"data.pool={pool}",
            f"work_dir={work}",
        )  # fmt: skip
        assert code == 0, summary
        found[name] = work, summary, pd.read_parquet(Path(summary["paths"]["scores"]) / "parts")
    return found


def test_scores_are_those_of_the_coadd(scored):
    expected = scored["desi"][2][SCORES].to_numpy(float)
    assert np.isfinite(expected).all()
    for name, (_, summary, table) in scored.items():
        assert summary["metrics"]["spectra"] == summary["metrics"]["scored"] == 4, name
        assert summary["metrics"]["files"] == (4 if name in ("sdss", "phase3") else 1)
        table = table.sort_values(["FILE", "ROW"])
        np.testing.assert_allclose(table[SCORES], expected, rtol=2e-5, atol=2e-5, err_msg=name)


def test_arms_are_columns_and_in_the_metadata(scored):
    for name, (_, summary, table) in scored.items():
        parts = Path(summary["paths"]["scores"]) / "parts"
        for part in parts.rglob("*.parquet"):
            document = json.loads(pq.read_metadata(part).metadata[b"qnal"])
            assert document.get("arms") == (None if name == "desi" else ["SPEC"])
        snr = [c for c in table if c.startswith("SNR_")]
        assert snr == (["SNR_B", "SNR_R", "SNR_Z"] if name == "desi" else ["SNR_SPEC"])
        counts = pq.read_table(parts.parent / "_statistics" / "groups.parquet")
        assert set(counts["dead_camera"].to_pylist()) == {0}


def test_a_second_run_reads_nothing(scored, qnal_job, settings):
    work, _, _ = scored["sdss"]
    code, summary = qnal_job(
        work / "again", "stage=infer", *settings, "reader=sdss", f"data.pool={work / 'pool'}",
        f"work_dir={work}",
    )  # fmt: skip
    assert (code, summary["metrics"]["files_read"], summary["metrics"]["forward_passes"]) == (
        0,
        0,
        0,
    )


def test_query_and_inspection(scored, qnal_job):
    """The dataset says which reader it was made with."""
    work = scored["table"][0]
    given = [f"work_dir={work}", "tracking=none"]
    code, summary = qnal_job(
        work / "query", "stage=query", "query=entropy", "query.n=2",
        "query.filters=[live_cameras,best_signal_to_noise]", *given,
    )  # fmt: skip
    assert code == 0, summary
    assert (work / "query" / "selected_spectra.png").exists()
    code, summary = qnal_job(work / "inspect", "stage=inspect", *given)
    assert (code, summary["metrics"]["spectra"]) == (0, 2)


def test_names_of_objects_that_collide(qnal_job, settings, tmp_path, monkeypatch):
    (tmp_path / "pool").mkdir()
    SameSpectra.make(rows=2).phase3(tmp_path / "pool")
    monkeypatch.setattr("qnal.spectra.object_names.targetid_of", lambda name: 7)
    code, summary = qnal_job(
        tmp_path / "job", "stage=infer", *settings, "reader=phase3",
        f"data.pool={tmp_path / 'pool'}", f"work_dir={tmp_path}",
    )  # fmt: skip
    assert code == 1
    assert "4MOST J0 and 4MOST J1 have the same TARGETID 7" in summary["error"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["reader.prefx=a"], "reader.prefx: there is no such key"),
        (["reader._target_=pathlib.Path"], "reader._target_=pathlib.Path cannot be used"),
        (["reader=table", "reader.error=sigma"], "either ivar or error"),
        (["reader=table", "reader.flux=3"], "reader.flux=3 cannot be used; it takes text"),
    ],
)
def test_settings_are_checked_before_any_work(composed, overrides, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        checked(composed("stage=infer", *(f"+{o}" if "prefx" in o else o for o in overrides)))
