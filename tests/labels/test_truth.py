"""Inspection tables: every dialect, several inspectors, counts that add up."""

from collections.abc import Callable
from pathlib import Path

import fitsio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnal.errors import InputError
from qnal.labels.bal_comment import bal_from_comment
from qnal.labels.label import Label
from qnal.labels.truth import Truth, read_truth

Written = Callable[..., Path]
BIG = 39633559463397282  # its neighbours are the same float
LEFT_OUT = (
    "truth_unresolved",
    "truth_unset",
    "truth_unknown_class",
    "truth_conflict_rows",
    "truth_merged_rows",
)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str, name: str = "truth.csv") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def read(*paths: Path, **options: object) -> Truth:
    truth = read_truth(paths, 2.1, **options)  # type: ignore[arg-type]
    counts = truth.counts
    assert counts["truth_rows"] == sum(counts[k] for k in LEFT_OUT) + counts["truth_targets"]
    assert len(truth.table) == counts["truth_targets"]
    return truth


def said(truth: Truth) -> dict[int, tuple[str, float | None]]:
    table = truth.table.reset_index()
    return {
        int(t): (Label(n).name, None if np.isnan(z) else round(float(z), 6))
        for t, n, z in zip(table["TARGETID"], table["LABEL"], table["Z"], strict=True)
    }


DIALECTS = {
    "quasarnet": "TARGETID,VI_Z,VI_QUALITY,VI_CLASS",
    "edr": "TARGETID,VI_Z,VI_QUALITY,VI_SPECTYPE",
    "merged": "TARGETID,best_z,best_quality,best_spectype",
    "merged, blanks": "TARGETID,best z,best quality,best spectype",
    "raw page": "TARGETID,VI_z,VI_quality,VI_spectype",
    "older raw page": "TargetID,VI_z,VI class,VI_spectype",
}


@pytest.mark.parametrize("header", DIALECTS.values(), ids=DIALECTS)
def test_every_dialect_is_known_by_its_columns(written: Written, header: str) -> None:
    rows = f"\n{BIG},1.5,4,QSO\n{BIG + 1},2.1,2.5,qso\n{BIG + 2},0.4,3,GALAXY\n{BIG + 3},0,4,STAR\n"
    truth = read(written(header + rows + f"{BIG + 4},1.0,2.4,QSO\n"))
    assert said(truth) == {
        BIG: ("QSO_LZ", 1.5),
        BIG + 1: ("QSO_HZ", 2.1),
        BIG + 2: ("GALAXY", 0.4),
        BIG + 3: ("STAR", 0.0),
        BIG + 4: ("BAD", 1.0),
    }


@pytest.mark.parametrize("zipped", [False, True])
def test_fits_tables_say_the_same(tmp_path: Path, zipped: bool) -> None:
    table = np.zeros(
        2, [("TARGETID", "i8"), ("VI_Z", "f8"), ("VI_QUALITY", "f4"), ("VI_SPECTYPE", "S6")]
    )
    table["TARGETID"], table["VI_Z"] = [BIG, BIG + 1], [1.5, 2.5]
    table["VI_QUALITY"], table["VI_SPECTYPE"] = [4, 3.5], [b"QSO", b"GALAXY"]
    path = tmp_path / ("truth.fits.gz" if zipped else "truth.fits")
    fitsio.write(str(path), table)
    assert said(read(path)) == {BIG: ("QSO_LZ", 1.5), BIG + 1: ("GALAXY", 2.5)}


def test_the_real_table(real_data: Path) -> None:
    truth = read(real_data / "desi" / "truth_qso_catalog.csv")
    assert truth.counts["truth_targets"] == 12
    assert said(truth)[39632936152072660] == ("QSO_LZ", 1.93743)
    assert said(truth)[39633561174674576] == ("QSO_HZ", 4.27396)


def test_blank_cells_of_a_raw_page_agree_with_redrock(written: Written) -> None:
    path = written(
        "TARGETID,EXPID,Redrock_spectype,Redrock_z,VI_scanner,VI_quality,VI_issue,VI_z,VI_spectype,"
        "VI_comment\n"
        "1,5,QSO,1.7,ab,4,,,,BAL\n"
        "2,5,QSO,1.7,ab,4,C,0.3,GALAXY,no; a galaxy\n"
        "3,5,GALAXY,0.9,ab,-1,,,,\n"
        "4,5,GALAXY,0.9,ab,,,,,\n"
        "5,5,STAR,-0.0001,ab,3,,,,\n",
        "desi-vi_title_ab.csv",
    )
    truth = read(path)
    assert said(truth) == {1: ("QSO_LZ", 1.7), 2: ("GALAXY", 0.3), 5: ("STAR", -0.0001)}
    assert truth.counts["truth_unset"] == 2
    assert truth.table["BAL"].to_dict() == {1: 1, 2: -1, 5: -1}


def test_rows_that_say_nothing_are_left_out_and_counted(written: Written) -> None:
    path = written(
        "TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n"
        "1,1.0,999,QSO\n"  # unresolved
        "2,1.0,-1,QSO\n"  # unset
        "3,,4,QSO\n"  # no redshift
        "4,1.0,4,BLAZAR\n"  # unknown class
        "5,1.0,4,\n"
        "6,,1,BLAZAR\n"  # unconfident, whatever it says
        "7,1.0,4,QSO\n"
        "8,1.0,99,QSO\n"
    )
    truth = read(path)
    assert {k: v[0] for k, v in said(truth).items()} == {6: "BAD", 7: "QSO_LZ"}
    assert truth.counts == {
        "truth_rows": 8,
        "truth_unresolved": 2,
        "truth_unset": 2,
        "truth_unknown_class": 2,
        "truth_repeated": 0,
        "truth_conflicts": 0,
        "truth_conflict_rows": 0,
        "truth_merged_rows": 0,
        "truth_targets": 2,
    }


def test_inspectors_are_reconciled_across_files(written: Written) -> None:
    header = "TARGETID,VI_z,VI_quality,VI_spectype\n"
    first = written(
        header + "1,1.000,4,QSO\n2,1.0,4,QSO\n3,1.0,4,QSO\n4,1.0,4,QSO\n5,1.0,3,QSO\n6,1,4,QSO\n",
        "a.csv",
    )
    second = written(
        header
        + "1,1.004,3,QSO\n"  # agrees
        + "2,1.0067,4,QSO\n"  # 0.0033 * 2 = 0.0066 apart
        + "3,1.0,2,QSO\n"  # qualities 2 apart
        + "4,1.0,4,GALAXY\n"  # classes differ
        + "5,1.0,1.5,QSO\n",  # mean quality 2.25
        "b.csv",
    )
    truth = read(first, second)
    assert said(truth) == {1: ("QSO_LZ", 1.002), 5: ("BAD", 1.0), 6: ("QSO_LZ", 1.0)}
    assert truth.counts["truth_repeated"] == 5
    assert truth.counts["truth_conflicts"] == 3
    assert truth.counts["truth_conflict_rows"] == 6
    assert truth.counts["truth_merged_rows"] == 2


def test_a_table_given_twice_says_no_more(real_data: Path) -> None:
    path = real_data / "desi" / "truth_qso_catalog.csv"
    once, twice = read(path), read(path, path)
    assert once.table.equals(twice.table)
    assert twice.counts["truth_merged_rows"] == 12


def test_bal_labels(written: Written) -> None:
    header = "TARGETID,VI_z,VI_quality,VI_spectype,VI_comment\n"
    noted = written(
        header + "1,2,4,QSO,BAL\n2,2,4,QSO,\n3,2,4,QSO,BAL?\n4,2,1,QSO,BAL\n5,0,4,STAR,\n", "a.csv"
    )
    silent = written(
        header + "11,2,4,QSO,LoBAL; odd\n12,2,4,QSO,\n13,2,4,GALAXY,\n14,2,1,GALAXY,\n", "b.csv"
    )
    bal = {1: 1, 2: 0, 3: 0, 4: 0, 5: -1, 11: 1, 12: 0, 13: -1, 14: 0}
    assert read(noted, silent).table["BAL"].to_dict() == bal
    assert read(noted, silent, bal_recorded=[noted]).table["BAL"].to_dict() == bal | {2: -1}
    everywhere = read(noted, silent, bal_recorded=True).table["BAL"].to_dict()
    assert everywhere == bal | {2: -1, 12: -1}


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("BAL", 1),
        ("bal; noisy", 1),
        ("strong BALs", 1),
        ("FeLoBAL", 1),
        ("mini-BAL", 1),
        ("BAL QSO", 1),
        ("no emission lines; BAL", 1),
        ("no BAL", 0),
        ("not a BAL", 0),
        ("BAL?", 0),
        ("possible BAL", 0),
        ("global fit, balanced", None),
        ("ball", None),
        ("", None),
    ],
)
def test_comments_about_bals(comment: str, expected: int | None) -> None:
    assert bal_from_comment(comment) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("TARGETID,VI_Z\n1,2\n", "no column for QUALITY, SPECTYPE"),
        ("", "not a readable truth table"),
        ("\x00\x01", "no column|not a readable"),
        ("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n3.9e16,1,4,QSO\n", "not a 64-bit integer"),
        ("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n12.0,1,4,QSO\n", "'12.0' in row 1"),
        ("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n1,1,4,QSO\n,1,4,QSO\n", "'' in row 2"),
        (f"TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n{2**63},1,4,QSO\n", "not a 64-bit integer"),
        ("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n1,one,4,QSO\n", "VI_Z is 'one' in row 1"),
        ("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n1,1,4,QSO,more\n", "not a readable truth table"),
    ],
)
def test_broken_tables_are_refused_by_name(written: Written, text: str, says: str) -> None:
    with pytest.raises(InputError, match=rf"truth\.csv: .*({says})"):
        read(written(text))


def test_targetids_as_floats_in_fits_are_refused(tmp_path: Path) -> None:
    table = np.zeros(
        1, [("TARGETID", "f8"), ("VI_Z", "f8"), ("VI_QUALITY", "f4"), ("VI_CLASS", "S3")]
    )
    fitsio.write(str(tmp_path / "truth.fits"), table)
    with pytest.raises(InputError, match=r"truth\.fits: a TARGETID is not a 64-bit integer"):
        read(tmp_path / "truth.fits")


@settings(max_examples=30)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8, unique=True))
def test_targetids_are_exact(tmp_path_factory: pytest.TempPathFactory, ids: list[int]) -> None:
    path = tmp_path_factory.mktemp("ids") / "truth.csv"
    rows = [f"{t},1.0,4,QSO\n" for t in ids]
    path.write_text("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n" + "".join(rows))
    assert read(path).table.index.tolist() == sorted(ids)


@settings(max_examples=30)
@given(st.data())
def test_counts_add_up_and_order_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    row = st.tuples(
        st.integers(1, 6),
        st.sampled_from(["", "0.5", "1.0", "1.001", "2.5", "nan"]),
        st.sampled_from(["", "-1", "0", "1", "2", "2.5", "3", "4", "999"]),
        st.sampled_from(["QSO", "GALAXY", "STAR", "", "odd"]),
    )
    rows = [",".join(map(str, r)) + "\n" for r in data.draw(st.lists(row, max_size=25))]
    rows.append("7,1.0,4,QSO\n")  # a table of which no row says anything is refused
    folder = tmp_path_factory.mktemp("rows")
    header = "TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n"
    (folder / "a.csv").write_text(header + "".join(rows))
    (folder / "b.csv").write_text(header + "".join(data.draw(st.permutations(rows))))
    one, other = read(folder / "a.csv"), read(folder / "b.csv")
    assert one.counts == other.counts
    assert said(one) == said(other)
    assert set(one.table["LABEL"]) <= set(Label)
