"""infer.where, som.where and train.where: which spectra are read, scored and trained on."""

import json
from pathlib import Path

import fitsio
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

ROWS, MEMBERS = 40, 2


@pytest.fixture(scope="module")
def base(tmp_path_factory, coadd_parts):
    """A pool of two files, one of the main survey and one of survey validation."""
    work = tmp_path_factory.mktemp("where")
    rng = np.random.default_rng(3)
    for k, column in enumerate(("DESI_TARGET", "SV1_DESI_TARGET")):
        columns = {
            "TARGETID": 1000 * (k + 1) + np.arange(ROWS),
            "OBJTYPE": np.where(rng.random(ROWS) < 0.1, "SKY", "TGT"),
            "FLUX_R": rng.uniform(0.1, 10, ROWS),
            column: np.where(rng.random(ROWS) < 0.5, 4, 1),
        }
        coadd_parts(ROWS, seed=k, **columns).write(work / "pool" / f"coadd-{k}.fits")
    return work


@pytest.fixture(scope="module")
def members(tmp_path_factory, random_network):
    from qnal.network.weights import write_network

    folder = tmp_path_factory.mktemp("members")
    for seed in range(MEMBERS):
        write_network(random_network(seed), folder / f"net_{seed}.h5")
    return folder


@pytest.fixture
def infer(base, members, qnal_job, tmp_path):
    """Run stage=infer; all results go to the folder given."""

    def run(work, *overrides):
        code, summary = qnal_job(
            tmp_path / f"job{len(list(tmp_path.iterdir()))}", "stage=infer",
            f"ensemble.path={members}",
            "infer=numpy", "executor=serial", "tracking=none", f"data.pool={base / 'pool'}",
            f"work_dir={work}", *overrides,
        )  # fmt: skip
        assert code == 0, summary
        table = pd.read_parquet(Path(summary["paths"]["scores"]) / "parts")
        return summary["metrics"], table.sort_values(["FILE", "ROW"], ignore_index=True), summary

    return run


@pytest.fixture(scope="module")
def quasars(base):
    """TARGETIDs of the pool with the bit QSO, whatever their column."""
    found = []
    for path in sorted((base / "pool").glob("*.fits")):
        table = fitsio.read(str(path), "FIBERMAP")
        bits = table["DESI_TARGET" if "DESI_TARGET" in table.dtype.names else "SV1_DESI_TARGET"]
        found += table["TARGETID"][
            (bits & 4 > 0) & (np.char.strip(table["OBJTYPE"].astype(str)) == "TGT")
        ].tolist()
    return found


QSO = "infer.where=\"OBJTYPE = 'TGT' AND has_bit(DESI_TARGET, 'QSO')\""


def test_a_wider_condition_computes_only_what_is_new(infer, tmp_path, quasars):
    work = tmp_path / "work"
    metrics, narrow, summary = infer(work, QSO)
    assert narrow["TARGETID"].tolist() == sorted(quasars)
    assert (metrics["spectra"], metrics["left_out"]) == (len(quasars), 2 * ROWS - len(quasars))
    assert metrics["forward_passes"] == MEMBERS * len(quasars)
    assert any(f"{2 * ROWS - len(quasars)} are left out" in note for note in summary["notes"])

    again, same, _ = infer(work, QSO)
    assert (again["forward_passes"], again["files_read"]) == (0, 0)
    assert again["left_out"] == metrics["left_out"]
    pd.testing.assert_frame_equal(same, narrow)

    wide, wider, _ = infer(work, "infer.where=\"OBJTYPE = 'TGT'\"")
    assert wide["forward_passes"] == MEMBERS * (wide["spectra"] - len(quasars))
    everything, whole, _ = infer(work)
    assert everything["forward_passes"] == MEMBERS * (2 * ROWS - wide["spectra"])
    assert "left_out" not in everything

    fresh, expected, _ = infer(tmp_path / "fresh")
    assert fresh["forward_passes"] == MEMBERS * 2 * ROWS
    scores = [c for c in expected if expected[c].dtype == np.float32]
    for table in (narrow, wider, whole):
        chosen = expected[expected["TARGETID"].isin(table["TARGETID"])].reset_index(drop=True)
        assert len(chosen) == len(table)
        np.testing.assert_allclose(table[scores], chosen[scores], rtol=1e-4, atol=1e-4)

    # A narrower condition on what is known needs neither the files nor forward passes.
    narrower, few, _ = infer(tmp_path / "fresh", "infer.where='MAG_R < 21'")
    assert (narrower["forward_passes"], narrower["files_read"]) == (0, 0)
    assert len(few) == narrower["spectra"] == (expected["FLUX_R"] > 10 ** (0.4 * 1.5)).sum()


def test_members_that_are_added(infer, tmp_path, members, quasars):
    work = tmp_path / "work"
    one, _, _ = infer(work, QSO, "ensemble.n=1")
    both, _, _ = infer(work, QSO)
    assert one["forward_passes"] == both["forward_passes"] == len(quasars)
    wide, _, _ = infer(work, "infer.where=true", "ensemble.n=1")
    assert wide["forward_passes"] == 2 * ROWS - len(quasars)
    rest, _, _ = infer(work)
    assert rest["forward_passes"] == 2 * ROWS - len(quasars)


def test_without_a_cache(infer, tmp_path, quasars):
    metrics, table, _ = infer(tmp_path / "work", QSO, "infer.keep_members=false")
    assert metrics["forward_passes"] == MEMBERS * len(quasars)
    assert table["TARGETID"].tolist() == sorted(quasars)


def test_lists_of_targets_and_nothing_at_all(infer, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("1003 # the first\n2005\n77\n")
    metrics, table, _ = infer(tmp_path / "work", f"infer.targets={listed}")
    assert table["TARGETID"].tolist() == [1003, 2005]
    assert (metrics["left_out"], metrics["forward_passes"]) == (2 * ROWS - 2, 2 * MEMBERS)
    metrics, table, _ = infer(tmp_path / "work", "infer.where=false")
    assert (len(table), metrics["left_out"], metrics["forward_passes"]) == (0, 2 * ROWS, 0)


def test_parts_say_where_their_bits_are_from(infer, tmp_path):
    _, _, summary = infer(tmp_path / "work", QSO)
    parts = Path(summary["paths"]["scores"]) / "parts"
    found = {
        part.name: json.loads(pq.read_metadata(part).metadata[b"qnal"]) for part in parts.iterdir()
    }
    assert "targeting" not in found["coadd-0.fits.parquet"]
    assert found["coadd-1.fits.parquet"]["targeting"] == "SV1_DESI_TARGET"
    assert found["coadd-1.fits.parquet"]["condition"]["where"].startswith("OBJTYPE")


def test_bad_conditions_stop_the_job(base, members, qnal_job, tmp_path):
    given = [f"ensemble.path={members}", "infer=numpy", f"data.pool={base / 'pool'}",
             f"work_dir={tmp_path}", "tracking=none", "executor=serial"]  # fmt: skip
    for stage, section in (("infer", "infer"), ("som", "som")):
        code, summary = qnal_job(
            tmp_path / stage,
            f"stage={stage}",
            *given,
            f"{section}.where=\"has_bit(DESI_TARGET, 'X')\"",
        )
        assert code == 1
        assert summary["error"].startswith(
            f"{section}.where: has_bit(DESI_TARGET, 'X') names no bit"
        )


def test_a_som_of_some_spectra(base, qnal_job, tmp_path):
    given = [f"data.pool={base / 'pool'}", f"work_dir={tmp_path}", "tracking=none", "stage=som",
             "som.shape=[2,2]", "som.epochs=2"]  # fmt: skip
    folders = set()
    for where, spectra in (("null", 2 * ROWS), ("'ROW < 10'", 20)):
        code, summary = qnal_job(tmp_path / str(spectra), *given, f"som.where={where}")
        assert (code, summary["metrics"]["som_spectra"]) == (0, spectra)
        folders.add(summary["paths"]["som"])
    assert len(folders) == 2
