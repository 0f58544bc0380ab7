"""Conditions on the rows of target tables."""

from pathlib import Path

import numpy as np
import pytest

from qnal.errors import ConfigError
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.phase3 import Phase3
from qnal.spectra.row_condition import RowCondition
from qnal.spectra.target_table import target_table

QSO = 1 << 2
ROWS = 5


@pytest.fixture(scope="module")
def table():
    columns = {
        "TARGETID": np.arange(1, 6) * 39633559463397,
        "FILE": np.full(ROWS, "a.fits"),
        "ROW": np.arange(ROWS),
        "CAMERAS": np.full(ROWS, 7),
        "STATUS": np.full(ROWS, "ok"),
        "OBJTYPE": np.array(["TGT", "TGT", "SKY", "TGT", ""]),
        "DESI_TARGET": np.array([QSO, 1, QSO, QSO | 1 << 62, 1 << 12]),
        "FLUX_R": np.array([10.0, 1.0, -1.0, 0.1, np.nan]),  # magnitudes 20, 22.5, -, 25, -
        "SNR_R": np.array([3.0, 1.0, 0.1, 0.5, np.nan]),
        "TARGET_RA": np.array([10.0, 20, 30, 40, 50]),
    }
    return target_table(columns, ROWS, Path("a.fits"), Desi.arms)


def rows(table, where, targeting="DESI_TARGET", **more):
    condition = RowCondition(where, Desi.bits, **more)
    condition.check(Desi())
    return np.flatnonzero(condition.selected(table, targeting, "a.fits")).tolist()


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (None, [0, 1, 2, 3, 4]),
        ("OBJTYPE = 'TGT' AND has_bit(DESI_TARGET, 'QSO')", [0, 3]),
        ("has_bit(desi_target, 'LRG') or HAS_BIT( DESI_TARGET , 'SCND_ANY' )", [1, 3]),
        ("NOT has_bit(DESI_TARGET, 'QSO')", [1, 4]),
        ("MAG_R < 23", [0, 1]),
        ("mag_r IS NULL", [2, 4]),
        ("SNR_R > 0.3 AND TARGET_RA BETWEEN 15 AND 45", [1, 3]),
        ("TARGETID IN (39633559463397, 118900678390191)", [0, 2]),
        ("OBJTYPE <> 'SKY'", [0, 1, 3]),  # unknown counts as false
        ("has_bit(SV1_DESI_TARGET, 'QSO')", []),  # the file is of the main survey
        ("MAG_R < 23 -- bright", [0, 1]),
        ("true", [0, 1, 2, 3, 4]),
    ],
    ids=str,
)
def test_rows(table, where, expected):
    assert rows(table, where) == expected


def test_bits_of_another_survey(table):
    """Bit 12 of CMX_TARGET is SV0_QSO; bit 2 is no quasar there."""
    assert rows(table, "has_bit(DESI_TARGET, 'SV0_QSO')", "CMX_TARGET") == [4]
    assert rows(table, "has_bit(CMX_TARGET, 'SV0_QSO')", "CMX_TARGET") == [4]
    assert rows(table, "has_bit(DESI_TARGET, 'QSO')", "CMX_TARGET") == []
    assert rows(table, "has_bit(SV3_DESI_TARGET, 'QSO')", "SV3_DESI_TARGET") == [0, 2, 3]


def test_quasar_bits():
    """As in FORMATS: bit 2, but 12 and 55 in commissioning."""
    bits = Desi.bits
    for column in ("DESI_TARGET", "SV1_DESI_TARGET", "SV2_DESI_TARGET", "SV3_DESI_TARGET"):
        assert bits[column]["QSO"] == 2
    assert (bits["CMX_TARGET"]["SV0_QSO"], bits["CMX_TARGET"]["MINI_SV_QSO"]) == (12, 55)


def test_lists_of_targets(table, tmp_path):
    ids = np.sort(np.asarray(table["TARGETID"]))[[0, 3]]
    np.save(tmp_path / "targets.npy", ids)
    listed = {"targets": tmp_path / "targets.npy", "digest": "d"}
    assert rows(table, None, **listed) == [0, 3]
    assert rows(table, "SNR_R > 1", **listed) == [0]
    np.save(tmp_path / "none.npy", ids[:0])
    assert rows(table, None, targets=tmp_path / "none.npy", digest="e") == []


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("NOPE > 1", "there is no column NOPE; valid ones: TARGETID, TILEID"),
        ("has_bit(DESI_TARGET, 'QSR')", "names no bit; valid ones: LRG, ELG, QSO"),
        ("has_bit(BGS_TARGET, 'QSO')", "names no targeting column; valid ones: DESI_TARGET, SV3"),
        ("has_bit(DESI_TARGET, QSO)", "has_bit takes a column and the name of a bit"),
        ("SNR_R >", "not a condition in SQL"),
        ("SNR_R", "is of type FLOAT; a condition that is true or false"),
        ("count(*) > 1", "not a condition in SQL"),
        ("TARGETID IN (SELECT TARGETID FROM 'list.csv')", "not a condition in SQL"),
    ],
)
def test_bad_conditions_are_refused(where, sentence):
    with pytest.raises(ConfigError, match=r"^infer\.where") as raised:
        RowCondition(where, Desi.bits, setting="infer.where").check(Desi())
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_columns_follow_the_reader():
    RowCondition("SNR_SPEC > 1 AND OBJECT LIKE 'J%'").check(Phase3())
    with pytest.raises(ConfigError, match="no column SNR_R; valid ones: TARGETID, OBJECT"):
        RowCondition("SNR_R > 1").check(Phase3())
    with pytest.raises(ConfigError, match="valid ones: none, with this reader"):
        RowCondition("has_bit(DESI_TARGET, 'QSO')").check(Phase3())


def test_the_key():
    assert RowCondition().key() == {}
    assert not RowCondition()
    assert RowCondition(" a  >\n1 ").key() == {"where": "a > 1"}
    assert RowCondition(None, targets=Path("x"), digest="d").key() == {"targets": "d"}
