"""QN_RR tables, read back as DESI's software reads them."""

import fitsio
import numpy as np
import pyarrow as pa
import pytest

from qnal.ensemble.votes import Thresholds
from qnal.lines import QUASARNET_LINES, column_names
from qnal.scores.qso_qn import qso_qn_name, write_qso_qn

SHORT = column_names(QUASARNET_LINES)


def scores():
    columns = {
        "TARGETID": pa.array([39627758518773697, -5, 7], pa.int64()),
        "TARGET_RA": pa.array([10.5, None, 20.0]),
        "TARGET_DEC": pa.array([-1.5, 3.0, None]),
        "DESI_TARGET": pa.array([2**60, None, 4], pa.int64()),
        "C_NOT": pa.array([0.1, 0.5, None], pa.float32()),
        "Z": pa.array([2.5, 0.25, None], pa.float32()),
        "C_BAL": pa.array([0.5, 0.5, None], pa.float32()),
    }
    for k, name in enumerate(SHORT):
        columns[f"C_{name}"] = pa.array([k / 8, 0.5, None], pa.float32())
        columns[f"Z_{name}"] = pa.array([k / 4, 0.5, None], pa.float32())
    return pa.table(columns)


def test_columns_types_and_thresholds(tmp_path):
    path = tmp_path / "a [1]" / "qso_qn-0.fits"  # a bracket would mean something to CFITSIO
    write_qso_qn(path, scores(), QUASARNET_LINES, Thresholds(0.9, 2, 2.2), members=8)
    (tmp_path / "x.fits").write_bytes(path.read_bytes())
    table, header = fitsio.read(str(tmp_path / "x.fits"), ext="QN_RR", header=True)
    kinds = [(name, table.dtype[name].newbyteorder("=").str[1:]) for name in table.dtype.names]
    assert kinds[:8] == [
        ("TARGETID", "i8"), ("RA", "f8"), ("DEC", "f8"), ("DESI_TARGET", "i8"),
        ("SPECTYPE_RR", "U6"), ("Z_RR", "f8"), ("IS_QSO_QN_NEW_RR", "b1"), ("Z_QN", "f4"),
    ]  # fmt: skip
    assert [n for n, _ in kinds[8:20]] == [f"{k}_{n}" for k in "CZ" for n in SHORT]
    assert {kind for _, kind in kinds[8:20]} == {"f4"}
    assert [n for n, _ in kinds[20:]] == ["Z_NEW", "ZERR_NEW", "COEFFS"]
    assert table["TARGETID"].tolist() == [39627758518773697, -5, 7]
    assert table["DESI_TARGET"].tolist() == [2**60, 0, 4]
    assert table["IS_QSO_QN_NEW_RR"].tolist() == [True, False, False]
    np.testing.assert_array_equal(table["RA"], [10.5, np.nan, 20])
    np.testing.assert_array_equal(table["Z_QN"], np.float32([2.5, 0.25, np.nan]))
    np.testing.assert_array_equal(table["C_Hbeta"], np.float32([0.5, 0.5, np.nan]))
    assert np.isnan(table["Z_NEW"]).all() and np.isnan(table["COEFFS"]).all()
    assert {k: header[k] for k in ("C_THRESH", "N_THRESH", "Z_THRESH", "NMEMBERS")} == {
        "C_THRESH": 0.9, "N_THRESH": 2, "Z_THRESH": 2.2, "NMEMBERS": 8,
    }  # fmt: skip


def test_the_same_bytes_whenever_it_is_written(tmp_path):
    for name in ("a.fits", "b.fits"):
        write_qso_qn(tmp_path / name, scores(), QUASARNET_LINES, Thresholds(), members=8)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()


@pytest.mark.parametrize(
    ("coadd", "name"),
    [
        ("1/2/coadd-0-1-thru2.fits", "1/2/qso_qn-0-1-thru2.fits"),
        ("coadd-main-dark-7.fits.gz", "qso_qn-main-dark-7.fits"),
        ("odd.fits", "qso_qn-odd.fits"),
    ],
)
def test_names(coadd, name):
    assert qso_qn_name(coadd) == name
