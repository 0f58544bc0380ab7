"""Scores from files and tables, and the messages for those that cannot be queried."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qnal.errors import InputError
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.strategies.mutual_info import MutualInformation


def query(scores, bmu=None, cells=None, **options):
    return select(scores, QueryOptions(**options), bmu, cells)


HEADER = "TARGETID,C_NOT,C_QSO_LZ,C_QSO_HZ\n"
LARGE = 39627758518773697  # a float would lose the last digit


def part(targetid=(1, 2), **columns):
    n = len(targetid)
    shares = {"C_NOT": [0.5] * n, "C_QSO_LZ": [0.5] * n, "C_QSO_HZ": [0.0] * n}
    return pa.table({"TARGETID": pa.array(targetid, pa.int64())} | shares | columns)


def keyed(targetid=(1, 2)):
    n = len(targetid)
    return part(targetid, FILE=["a"] * n, ROW=pa.array(range(n), pa.int32()))


def test_csv_targetids_are_exact(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text(HEADER + f"{LARGE},0.5,0.5,0\n")
    selection = query(path, n=1)
    assert selection.targetids.tolist() == [LARGE]


@pytest.mark.parametrize("targetid", [f"{float(LARGE)}", "3.0", "x"])
def test_csv_targetids_that_were_floats_are_refused(tmp_path, targetid):
    path = tmp_path / "scores.csv"
    path.write_text(HEADER + f"{targetid},0.5,0.5,0\n")
    with pytest.raises(InputError, match=r"scores\.csv: .*TARGETID"):
        query(path, n=1)


def test_float_column_is_refused():
    table = part().set_column(0, "TARGETID", pa.array([1.0, 2.0]))
    with pytest.raises(InputError, match="column TARGETID is DOUBLE instead of an integer"):
        query(table, n=1)


def test_missing_columns_are_named():
    with pytest.raises(InputError, match="no column MUTUAL_INFO, which strategy mutual_info needs"):
        query(part(), n=1, strategy=MutualInformation())
    with pytest.raises(InputError, match="no column TARGETID"):
        query(part().drop(["TARGETID"]), n=1)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="there is no such file or folder of scores"):
        query(tmp_path / "none", n=1)
    with pytest.raises(InputError, match="holds no scores"):
        query(tmp_path, n=1)
    pq.write_table(part(()), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="holds no spectra"):
        query(tmp_path, n=1)
    (tmp_path / "b.parquet").write_bytes(b"half a file")
    with pytest.raises(InputError, match="cannot be queried"):
        query(tmp_path, n=1)
    with pytest.raises(InputError, match=r"none\.csv: there is no such file"):
        query(tmp_path / "none.csv", n=1)


def test_targetids_may_not_be_null():
    with pytest.raises(InputError, match="1 of 2 spectra have no TARGETID"):
        query(part((1, None)), n=1)


def test_parts_may_differ_in_columns(tmp_path):
    """Where a survey's targeting column is in some parts only, the others have null there."""
    pq.write_table(part((1, 2), SV1_DESI_TARGET=[4, 5]), tmp_path / "a.parquet")
    pq.write_table(part((3, 4)), tmp_path / "b.parquet")
    both = query(tmp_path, n=4).table
    assert both["SV1_DESI_TARGET"].to_pylist() == [4, 5, None, None]
    bad = tmp_path / "bad.txt"
    bad.write_text("1\n2\n")
    later = query(tmp_path, n=4, exclude=[bad]).table  # of rows of the second part alone
    assert later.column_names == both.column_names
    assert later["TARGETID"].to_pylist() == [3, 4]


def test_sidecar_is_looked_up_by_file_and_row(tmp_path):
    best = tmp_path / "best.parquet"
    table = {"FILE": ["a", "b"], "ROW": [1, 0], "BMU": pa.array([5, 6], pa.int32())}
    pq.write_table(pa.table(table), best)
    selection = query(keyed(), bmu=best, n=2, som_percentile=None)
    assert selection.table["BMU"].to_pylist() == [None, 5]
    with pytest.raises(InputError, match="has no column FILE and ROW, by which BMUs"):
        query(part(), bmu=best, n=1)
    pq.write_table(pa.table({"FILE": ["a", "a"], "ROW": [1, 1], "BMU": [5, 6]}), best)
    with pytest.raises(InputError, match="has several BMUs for one spectrum"):
        query(keyed(), bmu=best, n=1)
    pq.write_table(pa.table({"FILE": ["a"], "ROW": [1]}), best)
    with pytest.raises(InputError, match="has no column BMU"):
        query(keyed(), bmu=best, n=1)


def test_outlier_scores_of_the_sidecar(tmp_path):
    best = tmp_path / "bmu"
    best.mkdir()
    cell = {"FILE": ["a"], "ROW": [0], "BMU": pa.array([5], pa.int32())}
    pq.write_table(pa.table(cell), best / "a.parquet")  # without the outlier scores
    options = {"bmu": best, "n": 3, "som_percentile": None, "max_outlier": 5.0}
    old = query(keyed((1, 2, 3)), **options)
    assert old.table["BMU_OUTLIER"].to_pylist() == [None] * 3
    assert "Filter “no SOM outliers” was skipped: the scores have no BMU_OUTLIER." in old.notes
    cells = {"FILE": ["a", "a"], "ROW": [1, 2], "BMU": pa.array([6, 6], pa.int32())}
    scores = {"BMU_OUTLIER": pa.array([7.5, 1.5], pa.float32())}
    pq.write_table(pa.table(cells | scores), best / "b.parquet")
    mixed = query(keyed((1, 2, 3)), **options)
    assert mixed.targetids.tolist() == [1, 3]  # what is unknown is kept
    assert mixed.table["BMU_OUTLIER"].to_pylist() == [None, 1.5]
    assert dict(mixed.funnel)["no SOM outliers"] == 2
    everything = query(keyed((1, 2, 3)), **options | {"max_outlier": None})
    assert everything.table["BMU_OUTLIER"].to_pylist() == [None, 7.5, 1.5]


def test_spills_where_it_is_told_and_leaves_nothing(tmp_path):
    spill = tmp_path / "spill"
    spill.mkdir()
    query(part(), n=1, temp_dir=spill)
    assert list(spill.iterdir()) == []
