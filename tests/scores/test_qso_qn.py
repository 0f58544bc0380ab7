"""QN_RR tables, read back and judged by the rule of DESI's catalogue."""

from pathlib import Path

import fitsio
import numpy as np
import pyarrow as pa
import pytest

from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.lines import QUASARNET_LINES, column_names
from qnal.scores.qso_qn import QsoQn, accepted_by_catalogue, qso_qn_dtype, renamed_coadd
from qnal.scores.redrock_priors import write_priors
from qnal.scores.rerun import RerunRule, prior_scale
from qnal.spectra.grid import named_grid
from qnal.spectra.redrock import RedrockResults

SHORT = column_names(QUASARNET_LINES)
RULE = RerunRule(QUASARNET_LINES, prior_scale(named_grid("log"), 13))
HOW = QsoQn(RULE, Thresholds(0.9, 2, 2.2), members=8)


def scores(confidence, z, targetid=None):
    """A part whose strongest line has these confidences."""
    n = len(z)
    ids = np.arange(100, 100 + n) if targetid is None else targetid
    columns = {
        "TARGETID": pa.array(ids, pa.int64()),
        "TARGET_RA": pa.array([10.5] * n),
        "TARGET_DEC": pa.array([-1.5] * n),
        "DESI_TARGET": pa.array([2**60] * n, pa.int64()),
        "Z": pa.array(z, pa.float32()),
    }
    for k, name in enumerate(SHORT):
        values = [c if k == 2 or c is None else 0.1 * c for c in confidence]
        columns[f"C_{name}"] = pa.array(values, pa.float32())
        columns[f"Z_{name}"] = pa.array(z, pa.float32())
    return pa.table(columns)


def redrock(targetid, z, spectype):
    n = len(z)
    zeros = np.zeros(n)
    return RedrockResults(
        Path("redrock-x.fits"), np.asarray(targetid, np.int64), np.asarray(z, float), zeros + 1e-4,
        np.zeros(n, np.int64), zeros + 9000, zeros + 50, np.ones((n, 10)), np.asarray(spectype),
        np.full(n, ""),
    )  # fmt: skip


def written(tmp_path, *given):
    path = tmp_path / "a [1]" / "qso_qn-0.fits"  # a bracket would mean something to CFITSIO
    HOW.write(path, *given)
    return fitsio.FITS(path.read_bytes() and _link(path))["QN_RR"]


def _link(path):
    plain = path.parents[1] / "table.fits"
    plain.write_bytes(path.read_bytes())
    return str(plain)


def test_the_width_of_the_prior_is_that_of_desi():
    assert RULE.scale == pytest.approx(0.163, abs=5e-4)


def test_rows_and_order_are_redrocks(tmp_path):
    part = scores([0.999, 0.2], [2.5, 0.3])
    first = redrock([7, 101, 100], [1.0, 0.3, 2.51], ["STAR", "GALAXY", "QSO"])
    hdu = written(tmp_path, part, first, None, "SV1_DESI_TARGET")
    table, header = hdu.read(), hdu.read_header()
    assert table["TARGETID"].tolist() == [7, 101, 100]
    assert np.isnan(table["Z_QN"][0]) and np.isnan(table["C_LYA"][0]) and np.isnan(table["RA"][0])
    assert table["Z_QN"][2] == 2.5 and table["Z_RR"].tolist() == [1.0, 0.3, 2.51]
    assert table["SV1_DESI_TARGET"].tolist() == [0, 2**60, 2**60]
    assert not table["IS_QSO_QN_NEW_RR"].any() and np.isnan(table["Z_NEW"]).all()
    assert header["NMEMBERS"] == 8 and header["C_MEANS"] and header["C_THRESH"] == 0.9
    assert list(table.dtype.names)[-8:] == [
        "Z_NEW", "ZERR_NEW", "ZWARN_NEW", "SPECTYPE_NEW", "SUBTYPE_NEW", "CHI2_NEW",
        "DELTACHI2_NEW", "COEFF_NEW",
    ]  # fmt: skip


def test_a_quasar_without_a_rerun_makes_no_table(tmp_path):
    part = scores([0.999, 0.999], [2.5, 1.0])
    first = redrock([100, 101], [2.5, 0.4], ["QSO", "GALAXY"])
    with pytest.raises(InputError, match="1 targets need a re-run"):
        written(tmp_path, part, first, None)
    with pytest.raises(InputError, match="no redshift for 1 of the 1"):
        written(tmp_path, part, first, redrock([100], [2.5], ["QSO"]))
    with pytest.raises(InputError, match="outside of the prior"):
        written(tmp_path, part, first, redrock([101], [2.0], ["QSO"]))
    table = written(tmp_path, part, first, redrock([101], [1.01], ["QSO"])).read()
    assert table["IS_QSO_QN_NEW_RR"].tolist() == [False, True]
    assert table["Z_NEW"][1] == 1.01 and table["SPECTYPE_NEW"][1].strip() in (b"QSO", "QSO")
    assert table["COEFF_NEW"][1].tolist() == [1] * 10


def desi_redshift(table):
    """desispec.validredshifts: Z_NEW where it was run again, else Redrock's own."""
    return np.where(table["IS_QSO_QN_NEW_RR"], table["Z_NEW"], table["Z_RR"])


def test_desis_rule_gives_every_accepted_quasar_a_redshift_near_that_of_the_ensemble(tmp_path):
    rng = np.random.default_rng(4)
    n = 2000
    z = rng.uniform(0.2, 4, n).astype(np.float32)
    confidence = np.where(rng.random(n) < 0.5, rng.uniform(0.985, 1, n), rng.uniform(0, 1, n))
    part = scores(confidence.tolist(), z.tolist())
    z_rr = np.where(rng.random(n) < 0.7, z * (1 + rng.normal(0, 0.05, n)), rng.uniform(0, 4, n))
    z_rr[:20] = np.nan
    spectype = rng.choice(["QSO", "GALAXY", "STAR"], n, p=[0.7, 0.2, 0.1])
    order = rng.permutation(n)
    first = redrock(100 + order, z_rr[order], spectype[order])
    needed = RULE.is_needed(part, z_rr, spectype)
    rows = np.flatnonzero(needed)
    near = z[rows] + rng.uniform(-0.49, 0.49, len(rows)) * RULE.width(z[rows].astype(float))
    table = written(tmp_path, part, first, redrock(100 + rows, near, ["QSO"] * len(rows))).read()
    accepted = accepted_by_catalogue(table, QUASARNET_LINES)
    assert 300 < accepted.sum() < n and table["IS_QSO_QN_NEW_RR"].sum() == len(rows)
    z_qn = table["Z_QN"][accepted].astype(float)
    distance = np.abs(desi_redshift(table)[accepted] - z_qn)
    assert np.isfinite(distance).all()
    assert (distance <= RULE.width(z_qn) / 2).all()


def test_priors_are_for_the_rows_asked_for(tmp_path):
    part = scores([0.9, 0.9, 0.2], [2.0, 1.0, 0.5])
    rows = RULE.is_needed(part, np.array([2.0, 2.0, 0.1]), np.array(["QSO", "QSO", "GALAXY"]))
    path = tmp_path / "priors-a.fits"
    assert write_priors(path, part, rows, RULE, False) == 1
    table = fitsio.read(str(path), ext="PRIORS")
    assert table["TARGETID"].tolist() == [101] and table["Z"].tolist() == [1.0]
    assert table["SIGMA"] == pytest.approx(2 * RULE.scale)
    assert np.char.strip(table["FUNCTION"].astype(str)).tolist() == ["tophat"]
    assert write_priors(path, part, rows & False, RULE, False) == 0 and not path.exists()


def test_unscored_rows_are_no_quasars():
    part = scores([None, 0.9], [None, 1.0])
    assert RULE.is_quasar(part).tolist() == [False, True]


def test_the_same_scores_give_the_same_bytes(tmp_path):
    given = scores([0.4], [1.0]), redrock([100], [0.1], ["GALAXY"]), None
    for name in "ab":
        HOW.write(tmp_path / name, *given)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert qso_qn_dtype(QUASARNET_LINES).names[3] == "DESI_TARGET"


@pytest.mark.parametrize(
    ("coadd", "name"),
    [
        ("1/2/coadd-0-1-thru2.fits", "1/2/qso_qn-0-1-thru2.fits"),
        ("coadd-main-dark-7.fits.gz", "qso_qn-main-dark-7.fits"),
        ("odd.fits", "qso_qn-odd.fits"),
    ],
)
def test_names(coadd, name):
    assert renamed_coadd(coadd, "qso_qn") == name
