"""Tables of several inspectors: read strictly, reconciled, and compared."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qnal.errors import InputError
from qnal.labels.agreement import agreement
from qnal.labels.reconcile import reconcile
from qnal.labels.returned import read_returned

BIG = 39633559463397282  # its neighbours are the same float
PAGE = "TARGETID,Redrock_spectype,Redrock_z,VI_scanner,VI_quality,VI_z,VI_spectype,VI_comment\n"
Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str, name: str = "vi.csv") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def said(*labels: tuple[int, str, float, float, str], comment: str = "") -> pd.DataFrame:
    columns = ["TARGETID", "SPECTYPE", "Z", "QUALITY", "INSPECTOR"]
    return pd.DataFrame(labels, columns=columns).assign(COMMENT=comment, TABLE="t.csv")


def test_pages_and_other_dialects_name_their_inspectors(written: Written) -> None:
    page = written(
        PAGE
        + f"{BIG},QSO,2.5,ann,4,,,BAL\n{BIG + 1},STAR,0,ann,-1,,,\n{BIG + 2},QSO,1,ann,999,,,\n"
    )
    other = written("TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n7,1.5,3,GALAXY\n", "desi-vi_a_b_carol.csv")
    rows = read_returned([page, other])
    assert rows["TARGETID"].tolist() == [BIG, BIG + 2, 7]
    assert rows["INSPECTOR"].tolist() == ["ann", "ann", "carol"]
    assert rows["SPECTYPE"].tolist() == ["QSO", "QSO", "GALAXY"]
    assert rows["Z"].tolist() == [2.5, 1, 1.5]
    np.testing.assert_array_equal(rows["QUALITY"], [4, np.nan, 3])


HEADER = "TARGETID,VI_Z,VI_QUALITY,VI_CLASS\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEADER + "5,2,1,4,QSO\n", r"line 2 has 5 values and the header 4; write 2\.1 instead"),
        (HEADER + '5,"2,1",4,QSO\n', r"VI_Z is '2,1' in row 1, not a number"),
        (HEADER + "5,2.1,4,QSO\n6,2.1", r"line 3 has 2 values .* cut off or damaged"),
        (HEADER + "5,2.1,4,QSO\n6,2.1,4,QS", r"target 6 has quality 4 but not a class"),
        (HEADER + "5,,4,QSO\n", r"target 5 has quality 4 but not a redshift"),
        (HEADER + "5,2.1,4,QSO\n5,2.1,4,QSO\n", r"vi labelled target 5 twice"),
        (HEADER + "5,21,4,QSO\n", r"target 5 has a redshift of 21; .* from -0\.1 to 10"),
        (HEADER + "5,-0.5,4,QSO\n", r"target 5 has a redshift of -0\.5"),
        (HEADER, "it has no rows"),
        ("", "it has no rows"),
        ("A,B\n1,2\n", "no column for"),
        (HEADER + "39633559463397282.0,2.1,4,QSO\n", "not a 64-bit integer"),
    ],
)
def test_bad_tables_get_a_sentence(written: Written, text: str, sentence: str) -> None:
    path = written(text)
    with pytest.raises(InputError, match=sentence) as error:
        read_returned([path])
    assert str(path) in str(error.value) or "twice" in sentence


def test_an_inspector_in_two_tables_is_refused_only_for_the_same_target(written: Written) -> None:
    first = written(PAGE + "5,QSO,2,ann,4,,,\n", "a.csv")
    second = written(PAGE + "6,QSO,2,ann,4,,,\n", "b.csv")
    assert len(read_returned([first, second])) == 2
    third = written(PAGE + "5,STAR,0,ann,4,,,\n", "c.csv")
    with pytest.raises(InputError, match=r"a\.csv and c\.csv: ann labelled target 5 twice"):
        read_returned([first, third])


def test_inspectors_who_agree_give_a_label_with_the_best_redshift() -> None:
    found = reconcile(said((5, "QSO", 2.500, 3, "ann"), (5, "QSO", 2.505, 4, "bob")))
    (row,) = found.labels.to_dict("records")
    assert (row["SPECTYPE"], row["Z"], row["QUALITY"]) == ("QSO", 2.505, 3.5)
    assert (row["INSPECTORS"], row["INSPECTIONS"], row["OUTVOTED"]) == ("ann;bob", 2, 0)
    assert not len(found.conflicts)


@pytest.mark.parametrize(
    "other",
    [
        ("STAR", 2.5, 4),
        ("QSO", 2.5 + 0.0033 * 3.5 + 1e-9, 4),
        ("QSO", 2.5, 2),
        ("QSO", 2.5, np.nan),
    ],
    ids=["class", "redshift", "quality", "unresolved"],
)
def test_each_kind_of_conflict(other: tuple[str, float, float]) -> None:
    found = reconcile(said((5, "QSO", 2.5, 4, "ann"), (5, *other, "bob")))
    assert not len(found.labels)
    assert found.conflicts["TARGETID"].tolist() == [5]
    assert found.conflicts["CONFLICT"][0].startswith("ann: QSO 2.5000 (4); bob: ")


def test_two_of_three_decide_and_two_of_four_do_not() -> None:
    three = [(5, "QSO", 2.5, 3, "ann"), (5, "STAR", 0.0, 4, "bob"), (5, "QSO", 2.501, 4, "eve")]
    (row,) = reconcile(said(*three)).labels.to_dict("records")  # type: ignore[arg-type]
    assert (row["SPECTYPE"], row["Z"], row["QUALITY"], row["OUTVOTED"]) == ("QSO", 2.501, 3.5, 1)
    four = [*three, (5, "STAR", 0.0, 4, "zoe")]
    assert len(reconcile(said(*four)).conflicts) == 1  # type: ignore[arg-type]


def test_labels_of_low_quality_agree_whatever_they_say() -> None:
    (row,) = reconcile(said((5, "QSO", 2.5, 1, "ann"), (5, "STAR", 0.0, 2, "bob"))).labels.to_dict(
        "records"
    )
    assert row["QUALITY"] == 1.5


@pytest.mark.parametrize(
    ("spectype", "comment", "recorded", "bal"),
    [("QSO", "BAL", False, 1), ("QSO", "BAL?", False, 0), ("QSO", "", False, 0),
     ("QSO", "", True, -1), ("STAR", "", False, -1), ("STAR", "BAL", False, 0)],
)  # fmt: skip
def test_bal_by_the_comment(spectype: str, comment: str, recorded: bool, bal: int) -> None:
    labels = reconcile(said((5, spectype, 1.0, 4, "ann"), comment=comment), recorded).labels
    assert labels["BAL"].tolist() == [bal]
    assert labels["COMMENT"].tolist() == [comment]


def test_agreement_of_a_pair_by_hand() -> None:
    # Confusion [[3, 1], [1, 5]]: observed 0.8, expected 0.4*0.4 + 0.6*0.6 = 0.52.
    first = ["QSO"] * 4 + ["STAR"] * 6
    second = ["QSO"] * 3 + ["STAR"] + ["QSO"] + ["STAR"] * 5
    z = np.array([2.0, 2.0, 2.0])
    dz = np.array([-0.003, 0.0, 0.006])
    ann = [(k, s, 2.0, 4, "ann") for k, s in enumerate(first)]
    bob = [(k, s, (z + dz)[k] if k < 3 else 2.0, 3, "bob") for k, s in enumerate(second)]
    table = agreement(said(*ann, *bob, (99, "QSO", 1, 4, "eve")))  # type: ignore[arg-type]
    (row,) = table.to_dict("records")
    assert (row["INSPECTOR_1"], row["INSPECTOR_2"], row["TARGETS"]) == ("ann", "bob", 10)
    assert row["SAME_CLASS"] == pytest.approx(0.8)
    assert row["KAPPA"] == pytest.approx((0.8 - 0.52) / (1 - 0.52))
    assert row["SAME_QUASARS"] == 3
    assert row["DZ_MEDIAN"] == 0
    assert row["DZ_NMAD"] == pytest.approx(1.482602 * 0.001, rel=1e-5)
    assert row["DZ_MAX"] == pytest.approx(0.002)
    assert row["QUALITY_DIFFERENCE"] == -1


def test_no_guess_possible_makes_the_target_bad(written: Written) -> None:
    # As qnal's inspection page exports it: quality 0, class UNKNOWN, redshift −1.
    first = written(PAGE + "5,,-1,ann,0,-1,UNKNOWN,No guess possible\n", "a.csv")
    second = written(PAGE + "5,,-1,bob,1,2.1,QSO,\n", "b.csv")
    for paths in ([first], [first, second], [second, first]):
        (row,) = reconcile(read_returned(paths)).labels.to_dict("records")
        assert row["QUALITY"] < 2.5 and row["BAL"] == 0 and row["OUTVOTED"] == 0
    (row,) = reconcile(read_returned([first])).labels.to_dict("records")
    assert (row["SPECTYPE"], np.isnan(row["Z"]), row["COMMENT"]) == ("", True, "No guess possible")
