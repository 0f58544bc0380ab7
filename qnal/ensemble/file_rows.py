"""The rows of a file that a labelled set can use."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from qnal.spectra.grid import Grid
from qnal.spectra.readers.reader import Reader
from qnal.spectra.rebin import Status
from qnal.spectra.row_condition import RowCondition
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.target_table import SNR

# DESI spectra that jump by this much between neighbouring pixels are left out, as in the QuasarNET
# active-learning scripts.
ABSURD_JUMP = 1e4
UNKNOWN_EXPID = -1
_COLUMNS = ("TARGETID", "EXPID", "FILE", "ROW", "STATUS", "DESI_TARGET")


@dataclass(frozen=True)
class FileRows:
    """All rows of a file, as a labelled set needs them.

    Attributes:
        x: renormalised spectra, shape [rows, npix].
        rebinned: flux and its inverse variance on the grid, shape [rows, 2, npix].
        table: TARGETID, EXPID, FILE, ROW, SNR and DESI_TARGET.
        usable: whether STATUS is ok, shape [rows].
        sane: whether no neighbouring pixels differ by :data:`ABSURD_JUMP`, shape [rows].
        wanted: whether the condition is satisfied, shape [rows].
    """

    x: NDArray[np.float64]
    rebinned: NDArray[np.float32]
    table: pd.DataFrame
    usable: NDArray[np.bool_]
    sane: NDArray[np.bool_]
    wanted: NDArray[np.bool_]


def rows_of_file(
    file: SpectraFile, grid: Grid, reader: Reader, condition: RowCondition | None = None
) -> FileRows:
    """Read all rows of a file, and find those that satisfy a condition."""
    spectra = reader.read(file, grid)
    arms = [f"{SNR}{arm}" for arm in reader.arms]
    table = spectra.table.select([*_COLUMNS, *arms]).to_pandas(
        types_mapper={pa.int64(): pd.Int64Dtype()}.get
    )
    table["SNR"] = table[arms].mean(axis=1).astype(np.float32)  # of the arms that have data
    table["TARGETID"] = table["TARGETID"].astype(np.int64)
    table["EXPID"] = table["EXPID"].fillna(UNKNOWN_EXPID).astype(np.int64)
    table["DESI_TARGET"] = table["DESI_TARGET"].fillna(0).astype(np.int64)
    ok = (table["STATUS"] == Status.OK).to_numpy(bool)
    sane = np.logical_not((np.abs(np.diff(spectra.x, axis=1)) >= ABSURD_JUMP).any(axis=1))
    wanted = np.ones(len(ok), bool)
    if condition:
        wanted = condition.selected(spectra.table, spectra.targeting, str(file.path))
    return FileRows(spectra.x, spectra.rebinned, table, ok, np.asarray(sane), wanted)


class Part(NamedTuple):
    """Some spectra of a labelled set: spectra, rebinned flux and ivar, and table."""

    x: NDArray[np.float32]
    rebinned: NDArray[np.float32]
    table: pd.DataFrame


@dataclass
class UsedRows:
    """Collects the labelled rows of files that can be used, and counts the other labelled rows.

    Attributes:
        parts: the used rows of each file.
        unusable: rows whose STATUS is not ok.
        jumps: rows with neighbouring pixels that differ by :data:`ABSURD_JUMP`.
        left_out: rows that do not satisfy the condition.
    """

    parts: list[Part] = field(default_factory=list)
    unusable: int = 0
    jumps: int = 0
    left_out: int = 0

    def add(self, rows: FileRows, labelled: NDArray[np.bool_]) -> None:
        """Add the rows of a file; ``labelled`` says which have a label, shape [rows]."""
        self.left_out += int((labelled & ~rows.wanted).sum())
        known = labelled & rows.wanted
        self.unusable += int((known & ~rows.usable).sum())
        self.jumps += int((known & rows.usable & ~rows.sane).sum())
        use = known & rows.usable & rows.sane
        self.parts.append(Part(rows.x[use].astype(np.float32), rows.rebinned[use], rows.table[use]))

    def counts(self, condition: RowCondition | None) -> dict[str, int]:
        """Numbers of labelled rows that are not used, by reason."""
        counts = {"unusable": self.unusable, "absurd_jump": self.jumps}
        return counts | ({"condition_left_out": self.left_out} if condition else {})
