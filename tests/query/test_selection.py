import csv
import json
import os
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.selection_files import write_prospect, write_selection_fits
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
        "selection.fits",
        "selection.json",
        "selection.parquet",
        "targetid_selection.txt",
    ]


def test_fits_and_parquet_hold_the_same(selection, tmp_path):
    selection.write(tmp_path, {"pool": "there"})
    table = pq.read_table(tmp_path / "selection.parquet")
    assert table.equals(selection.table)
    metadata = json.loads(table.schema.metadata[b"qnal"])
    assert metadata == json.loads((tmp_path / "selection.json").read_text())
    assert (metadata["pool"], metadata["selected"], metadata["control"]) == ("there", 2, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # long keywords
        found = Table.read(tmp_path / "selection.fits")
    assert found.colnames == table.column_names
    assert found["TARGETID"].tolist() == table["TARGETID"].to_pylist()
    assert found["DESI_TARGET"].tolist() == [2**62, 1]
    assert found["REASON"].tolist() == table["REASON"].to_pylist()
    assert found["CONTROL"].tolist() == [False, False]


def test_unknown_numbers_are_masked_in_fits(tmp_path):
    table = pa.table(
        {
            "A": pa.array([None, 2], pa.int8()),
            "B": pa.array([1.5, None], pa.float32()),
            "C": pa.array(["x", None]).dictionary_encode(),
            "D": pa.nulls(2),
        }
    )
    write_selection_fits(tmp_path / "a.fits", table, {})
    found = Table.read(tmp_path / "a.fits")
    assert found["A"].mask.tolist() == [True, False] and found["A"][1] == 2
    assert found["B"][0] == 1.5 and not np.isfinite(np.ma.filled(found["B"], np.nan)[1])
    assert found["C"][0] == "x"


def test_reasons():
    table = pa.table(
        {
            "TARGETID": [1, 2, 3],
            "C_NOT": [0.4, 1.0, 0.9],
            "C_QSO_LZ": [0.0, 0.0, 0.05],
            "C_QSO_HZ": [0.6, 0.0, 0.05],
            "Z": [2.13, 1.0, 2.1],
            "BMU": pa.array([812, None, 812], pa.int32()),
        }
    )
    options = QueryOptions(n=1, som_percentile=None, control=1)
    found = select(table, options, members=100).table.to_pydict()["REASON"]
    # Target 3 has the smaller entropy.
    assert found[0] == (
        "60 of 100 members say quasar at z≈2.1, 40 say none; SOM cell 812, with 1 other; "
        "vote entropy 0.673"
    )
    assert found[1].startswith("control pick, drawn at random from 3 targets; ")
    plain = select(table, QueryOptions(n=9, som_percentile=None)).table.to_pydict()["REASON"]
    assert plain[1].startswith(
        "10 % of the members say quasar at z≈2.1 (5 % at low, 5 % at high redshift), 90 % say none"
    )


def test_prospect_command(tmp_path):
    """A stand-in of prospect_pages prints what it is called with."""
    tool = tmp_path / "bin" / "prospect_pages"
    tool.parent.mkdir()
    tool.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    table = pa.table({"TARGETID": [3, 1, 2], "FILE": ["b 1.fits", "a.fits", "b 1.fits"]})
    command = write_prospect(tmp_path, table, Path("/pool"), tmp_path / "targetid_selection.txt")
    done = subprocess.run(
        ["bash", str(command), "out"],
        env=os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.splitlines()
    assert words[:5] == ["--spectra_files", "/pool/a.fits", "/pool/b 1.fits", "--target_list",
                         "targetid_selection.txt"]  # fmt: skip
    assert "--no_clean_fiberstatus" in words and words[-2:] == ["--outputdir", "out"]
    assert write_prospect(tmp_path, table.drop(["FILE"]), Path("/pool"), command) is None
