"""Scoring real spectra with real networks, and pools that are not whole."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest


def scores_of(summary) -> pd.DataFrame:
    parts = sorted(Path(summary["paths"]["scores"], "parts").rglob("*.parquet"))
    return pd.concat([pq.read_table(part).to_pandas() for part in parts], ignore_index=True)


@pytest.mark.parametrize("backend", ["tensorflow", "numpy"])
def test_real_spectra_with_real_networks(real_data, qnal_job, tmp_path, backend):
    code, summary = qnal_job(
        tmp_path / "job",
        "stage=infer",
        f"infer={backend}",
        f"ensemble.path={real_data / 'quasarnet'}",
        f"data.pool={real_data / 'desi/tiles/cumulative'}",
        f"work_dir={tmp_path}",
        "tracking=none",
    )
    assert code == 0
    assert summary["metrics"]["members"] == 2
    table = scores_of(summary)
    assert len(table) == 10
    # Nine unanimous quasars; on the tenth the networks disagree (0.61 and 0.98).
    assert sorted(table["C_NOT"]) == [0] * 9 + [0.5]
    truth = pd.read_csv(real_data / "desi/truth_qso_catalog.csv").set_index("TARGETID")["VI_Z"]
    z = truth.loc[table["TARGETID"]].to_numpy()
    assert ((table["Z"] - z).abs() / (1 + z)).max() < 0.02
    unanimous = table["C_NOT"] == 0
    high = (table["C_QSO_HZ"] == 1) == (table["Z"] >= 2.1)
    assert high[unanimous & ((table["Z"] - 2.1).abs() > 0.05)].all()
    assert (table["TILEID"] == 80693).all()
    assert (table["NIGHT"] == 20210204).all()
    assert table["EXPID"].isna().all()  # a coadd of several exposures has none


@pytest.fixture
def pool(pipeline, tmp_path) -> Path:
    """A copy of the mock pool, to be broken."""
    work, _ = pipeline
    (source,) = (work / "mock").glob("*/pool/tiles/perexp")
    return Path(shutil.copytree(source, tmp_path / "perexp"))


@pytest.fixture
def infer(pipeline, qnal_job, tmp_path, pool):
    _, summary = pipeline

    def run(*overrides):
        return qnal_job(
            tmp_path / "job",
            "stage=infer",
            f"ensemble.path={summary['paths']['ensemble']}",
            f"som.path={summary['paths']['som']}",
            "ensemble.line_threshold=0.6",
            f"data.pool={pool}",
            f"work_dir={tmp_path}",
            "tracking=none",
            "executor=serial",
            *overrides,
        )

    return run


def test_a_broken_file_is_named_and_tried_again(infer, pool, pipeline):
    whole = scores_of(pipeline[1])
    files = sorted(pool.rglob("coadd-*.fits"))
    content = files[1].read_bytes()
    files[1].write_bytes(content[: len(content) // 2])
    code, summary = infer()
    assert code == 3
    assert summary["status"] == "incomplete"
    assert summary["metrics"]["files_failed"] == 1
    assert len(summary["failed"]) == 1
    assert str(files[1]) in summary["failed"][0]
    broken = files[1].relative_to(pool).as_posix()
    table = scores_of(summary)
    assert len(table) == (whole["FILE"] != broken).sum()

    files[1].write_bytes(content)
    code, summary = infer()
    assert code == 0
    table = scores_of(summary)
    pd.testing.assert_frame_equal(table, whole)


def test_strict_stops_at_the_first_broken_file(infer, pool):
    files = sorted(pool.rglob("coadd-*.fits"))
    files[0].write_bytes(b"no FITS at all")
    code, summary = infer("infer.strict=true")
    assert code == 1
    assert str(files[0]) in summary["error"]


def test_a_changed_file_is_scored_again_and_a_removed_one_forgotten(infer, pool):
    files = sorted(pool.rglob("coadd-*.fits"))
    _, first = infer()
    assert first["metrics"]["spectra"] == 200
    shutil.copy(files[0], files[1])  # re-reduced: other content under the old name
    files[2].unlink()
    code, second = infer()
    assert code == 0
    table = scores_of(second)
    names = [f.relative_to(pool).as_posix() for f in files]
    assert names[2] not in set(table["FILE"])
    columns = ["TARGETID", "Z", "C_NOT", "ENTROPY"]
    halves = [table[table["FILE"] == n][columns].reset_index(drop=True) for n in names[:2]]
    pd.testing.assert_frame_equal(*halves)


def test_limit_and_sky(infer, pipeline):
    code, summary = infer("infer.limit=1", "infer.sky=false")
    assert code == 0
    table = scores_of(summary)
    assert table["FILE"].nunique() == 1
    assert not (table["OBJTYPE"] == "SKY").any()
    whole = scores_of(pipeline[1])
    first = whole[whole["FILE"] == table["FILE"][0]]
    assert len(table) == (first["OBJTYPE"] != "SKY").sum()


def test_bmus_lie_beside_the_scores(infer):
    _, summary = infer()
    scores = Path(summary["paths"]["scores"])
    som = json.loads((scores / "_dataset.json").read_text())["som"]
    (folder,) = (scores / "_bmu").iterdir()
    assert som["fingerprint"].startswith(folder.name)
    cells = pd.concat([pq.read_table(p).to_pandas() for p in sorted(folder.rglob("*.parquet"))])
    assert len(cells) == 200
    assert cells["BMU"].dropna().between(0, som["cells"] - 1).all()
    assert (cells["BMU_OUTLIER"].isna() == cells["BMU"].isna()).all()
    assert abs(cells["BMU_OUTLIER"].median()) < 1  # the SOM was fitted on these


def test_no_tensorflow_where_nothing_is_left_to_compute(infer, pool, pipeline, tmp_path):
    """Neither in a second job, nor for other thresholds."""
    _, summary = pipeline
    assert infer()[1]["metrics"]["forward_passes"] > 0
    for line_threshold in (0.6, 0.7):
        arguments = [
            "stage=infer",
            f"ensemble.path={summary['paths']['ensemble']}",
            f"som.path={summary['paths']['som']}",
            f"ensemble.line_threshold={line_threshold}",
            f"data.pool={pool}",
            f"work_dir={tmp_path}",
            f"hydra.run.dir={tmp_path / 'job'}",
            "tracking=none",
            "executor=serial",
        ]
        script = (
            f"import sys; sys.argv = ['qnal', *{arguments!r}]\n"
            "from qnal.cli import main\n"
            "try: main()\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            "print('imported', sorted({'tensorflow', 'keras'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert "imported []" in done.stdout, done.stdout + done.stderr
        document = json.loads((tmp_path / "job" / "summary.json").read_text())
        assert document["metrics"]["forward_passes"] == 0
