"""The label table: it grows, keeps what was there, and survives two writers and damage."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from qnal.errors import InputError
from qnal.labels.label_table import SCHEMA, LabelTable, next_round

BIG = 39633559463397282  # its neighbours are the same float


def labels(targetids: list[int], **columns: object) -> pd.DataFrame:
    given = {
        "TARGETID": targetids, "ROUND": 1, "SPECTYPE": "QSO", "Z": 2.5, "QUALITY": 4.0, "BAL": 0,
        "COMMENT": "", "INSPECTORS": "ann", "INSPECTIONS": 1, "TIME": "2026-01-01T00:00:00Z",
        "STRATEGY": "vote_entropy", "REASON": None, "CONTROL": False, "POPULATION": None,
        "CONTROLS": None, "WEIGHT": None, "SELECTION": "a" * 8, "POOL": "/pool", "FILE": "a.fits",
        "ROW": 3,
    }  # fmt: skip
    table = pd.DataFrame(given | columns, index=range(len(targetids)))
    return table.assign(FILES=[["a.fits", "b.fits"]] * len(table), ROWS=[[3, 4]] * len(table))


def test_a_table_that_is_not_there_is_empty(tmp_path: Path) -> None:
    table = LabelTable(tmp_path / "labels.parquet")
    assert list(table.history().columns) == SCHEMA.names
    assert len(table.history()) == len(table.current()) == 0
    assert next_round(table.history(), "x") == 1


def test_rounds_are_added_and_integers_are_exact(tmp_path: Path) -> None:
    table = LabelTable(tmp_path / "labels" / "labels.parquet")
    assert len(table.extend(lambda _: labels([BIG + 1, BIG]))) == 2
    assert len(table.extend(lambda _: labels([BIG + 2], ROUND=2, SELECTION="b"))) == 1
    current = table.current()
    assert current["TARGETID"].tolist() == [BIG, BIG + 1, BIG + 2]
    assert current["ROUND"].tolist() == [1, 1, 2]
    assert list(current["FILES"][0]) == ["a.fits", "b.fits"]
    assert next_round(table.history(), "b") == 2
    assert next_round(table.history(), "c") == 3
    assert pq.read_schema(table.path).field("TARGETID").type == "int64"


def test_a_correction_keeps_what_was_said_before(tmp_path: Path) -> None:
    table = LabelTable(tmp_path / "labels.parquet")
    table.extend(lambda _: labels([5, 6], COMMENT=None, Z=[None, 1.0]))
    assert len(table.extend(lambda _: labels([5, 6], COMMENT=None, Z=[None, 1.0]))) == 0
    added = table.extend(lambda _: labels([5, 6], COMMENT=None, SPECTYPE=["STAR", "QSO"], Z=1.0))
    assert added["TARGETID"].tolist() == [5]
    assert table.history()["VERSION"].tolist() == [1, 1, 2]
    assert table.current()["SPECTYPE"].tolist() == ["STAR", "QSO"]
    assert table.history()["SPECTYPE"].tolist() == ["QSO", "QSO", "STAR"]


def test_two_jobs_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"

    def add(k: int) -> None:
        LabelTable(path).extend(lambda _: labels([2 * k, 2 * k + 1]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))
    assert LabelTable(path).current()["TARGETID"].tolist() == list(range(24))


def test_what_is_not_a_label_table_is_refused_and_kept(tmp_path: Path) -> None:
    table = LabelTable(tmp_path / "labels.parquet")
    for content in (b"", b"PAR1 not really"):
        table.path.write_bytes(content)
        with pytest.raises(InputError, match=r"labels\.parquet: not a readable label table"):
            table.extend(lambda _: labels([1]))
        assert table.path.read_bytes() == content
    pd.DataFrame({"TARGETID": [1]}).to_parquet(table.path)
    with pytest.raises(InputError, match="not a label table of format version 1"):
        table.history()


def test_a_failure_while_labels_are_made_changes_nothing(tmp_path: Path) -> None:
    table = LabelTable(tmp_path / "labels.parquet")
    table.extend(lambda _: labels([1]))
    before = table.path.read_bytes()

    def fails(_: pd.DataFrame) -> pd.DataFrame:
        raise InputError("no.")

    with pytest.raises(InputError):
        table.extend(fails)
    assert table.path.read_bytes() == before
