import csv

import numpy as np
import pyarrow as pa
import pytest

from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.target_list import read_target_list


def query(scores, bmu=None, cells=None, **options):
    return select(scores, QueryOptions(**options), bmu, cells)


LARGE = 39627758518773697


@pytest.fixture
def selection():
    table = pa.table(
        {
            "TARGETID": pa.array([LARGE, LARGE + 1, LARGE, LARGE + 2], pa.int64()),
            "TILEID": pa.array([10, 10, 11, 12], pa.int32()),
            "FILE": ["a,1", "a,1", "b", "b"],
            "C_NOT": [0.9, 0.5, 0.6, 1.0],
            "C_QSO_LZ": [0.1, 0.5, 0.4, 0.0],
            "C_QSO_HZ": [0.0, 0.0, 0.0, 0.0],
            "DESI_TARGET": pa.array([None, 2**62, 1, 1], pa.int64()),
        }
    )
    return query(table, n=2)


def test_summary(selection):
    assert len(selection) == 2
    assert selection.targetids.tolist() == [LARGE + 1, LARGE]
    assert selection.table["N_TILES"].to_pylist() == [1, 2]
    assert selection.on_several_tiles == 1
    assert selection.cut == selection.utilities[-1]


def test_histogram(selection):
    histogram = selection.histogram
    assert histogram.edges[0] == 0 and histogram.edges[-1] == pytest.approx(np.log(3))
    assert (histogram.before.sum(), histogram.after.sum()) == (4, 3)
    assert histogram.before[0] == 1  # the one all members agree about
    counted, _ = np.histogram([0.0, *selection.utilities], histogram.edges)
    np.testing.assert_array_equal(histogram.after, counted)


def test_files(selection, tmp_path):
    targets, table = selection.write(tmp_path / "query")
    assert targets.read_text() == f"{LARGE + 1}\n{LARGE}\n"
    assert read_target_list(targets).tolist() == selection.targetids.tolist()
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["RANK", "UTILITY", "N_TILES", "TARGETID"]
    assert [row["TARGETID"] for row in rows] == [str(LARGE + 1), str(LARGE)]
    assert [row["DESI_TARGET"] for row in rows] == [str(2**62), "1"]
    assert [row["FILE"] for row in rows] == ["a,1", "b"]
    assert sorted(p.name for p in targets.parent.iterdir()) == [
        "selection.csv",
        "targetid_selection.txt",
    ]
