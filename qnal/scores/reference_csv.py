"""``_scores.csv``: the scores as the table of the QuasarNET active-learning scripts
(docs/formats.md), written part by part.
"""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from qnal.files import written_aside
from qnal.scores.dataset import ScoresFolder
from qnal.spectra.rebin import Status
from qnal.spectra.spectra_file import SpectraFile

COLUMNS = ("TARGETID", "TILEID", "EXPID", "C_NOT", "C_QSO_LZ", "C_QSO_HZ")
SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in COLUMNS[:3]),
        *((name, pa.float32()) for name in COLUMNS[3:]),
        ("BMU", pa.int32()),
    ]
)


def write_reference_csv(
    path: Path, folder: ScoresFolder, files: Iterable[SpectraFile], som: str | None
) -> int:
    """Write the scored spectra of all files as one CSV; returns their number.

    Rows whose STATUS is not ``ok`` are left out, as the reference does. What is not known (EXPID of
    a coadd of several exposures, BMU where there is no SOM) is empty.

    Args:
        path: of the CSV.
        folder: the dataset.
        files: in the order in which they are written; those without a part are left out.
        som: fingerprint of the SOM that BMU is of.
    """
    rows = 0
    options = pyarrow.csv.WriteOptions(quoting_style="none", quoting_header="none")
    with (
        written_aside(path) as scratch,
        pyarrow.csv.CSVWriter(scratch, SCHEMA, write_options=options) as out,
    ):
        for file in files:
            if not folder.part(file).exists():
                continue
            part = folder.read_part(file)
            bmu = pa.nulls(len(part), pa.int32())
            if som is not None:
                bmu = folder.read_bmus(file, som)["BMU"]
            table = part.select(COLUMNS).append_column("BMU", bmu).cast(SCHEMA)
            table = table.filter(pc.equal(part["STATUS"], Status.OK.value))
            out.write_table(table)
            rows += len(table)
    return rows
