"""The reference's table, as its notebook and the query read it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.scores.bmus import bmu_table
from qnal.scores.dataset import ScoresFolder
from qnal.scores.file_index import VoteCounts
from qnal.scores.reference_csv import write_reference_csv
from qnal.spectra.file_version import FileVersion
from qnal.spectra.spectra_file import SpectraFile

LARGE = 39627758518773697  # a float would lose the last digit


def part(targetids, expid, status=None):
    n = len(targetids)
    status = status or ["ok"] * n
    answered = [s == "ok" for s in status]

    def number(value):
        return pa.array([value if a else None for a in answered], pa.float32())

    return pa.table(
        {
            "TARGETID": pa.array(targetids, pa.int64()),
            "TILEID": pa.array([7] * n, pa.int32()),
            "EXPID": pa.array([expid] * n, pa.int32()),
            "NIGHT": pa.nulls(n, pa.int32()),
            "PETAL_LOC": pa.nulls(n, pa.int16()),
            "FILE": [f"{expid}"] * n,
            "ROW": pa.array(range(n), pa.int32()),
            "CAMERAS": pa.array([7] * n, pa.int8()),
            "STATUS": status,
            **{f"C_{c}": number(v) for c, v in (("NOT", 67 / 200), ("QSO_LZ", 133 / 200))},
            "C_QSO_HZ": number(0.0),
            **{m: number(0.3) for m in ("VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO")},
        }
    )


def write(folder, name, table):
    file = SpectraFile(name, Path(name))
    folder.write(file, table, FileVersion(1, 1, "a", "b"), VoteCounts(), {})
    return file


def test_as_the_reference_writes_it(tmp_path):
    folder = ScoresFolder(tmp_path)
    one = part([LARGE, 5, 6], 100, ["ok", "no_signal", "ok"])
    files = [write(folder, "a.fits", one), write(folder, "b.fits", part([LARGE], None))]
    for file, table, bmu in zip(files, (one, part([LARGE], None)), ([3, 4], [2024]), strict=True):
        zero = np.zeros(len(bmu))
        folder.write_bmus(file, "som", bmu_table(table, np.array(bmu), zero, zero))
    unscored = SpectraFile("c.fits", Path("c.fits"))
    path = tmp_path / "scores.csv"
    assert write_reference_csv(path, folder, [*files, unscored], "som") == 3
    assert path.read_text().splitlines() == [
        "TARGETID,TILEID,EXPID,C_NOT,C_QSO_LZ,C_QSO_HZ,BMU",
        f"{LARGE},7,100,0.335,0.665,0,3",
        "6,7,100,0.335,0.665,0,4",
        f"{LARGE},7,,0.335,0.665,0,2024",
    ]
    assert pd.read_csv(path)["TARGETID"].dtype == np.int64
    assert select(path, QueryOptions(n=2, som_percentile=None)).targetids.tolist() == [6, LARGE]


def test_without_a_som(tmp_path):
    folder = ScoresFolder(tmp_path)
    file = write(folder, "a.fits", part([5], 100))
    write_reference_csv(tmp_path / "scores.csv", folder, [file], None)
    assert (tmp_path / "scores.csv").read_text().splitlines()[1] == "5,7,100,0.335,0.665,0,"
