"""The selected targets, and the files they are handed to inspectors in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from qnal.files import written_aside
from qnal.query.target_list import write_target_list
from qnal.query.utility import Strategy


@dataclass(frozen=True, eq=False)
class UtilityHistogram:
    """How the scores are distributed.

    Attributes:
        edges: of the bins, from 0 to the highest utility possible, float64 [bins + 1].
        before: spectra in each before the best row of each target is kept, int64 [bins].
        after: targets in each after it, int64 [bins].
    """

    edges: NDArray[np.float64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Selection:
    """The answer of a query.

    Attributes:
        table: a row a target, the highest utility first: RANK from 1, UTILITY, N_TILES (different
            tiles it was observed on), and all columns of the scores for its best spectrum.
        strategy: what UTILITY is.
        funnel: name of each step taken and how many it left.
        histogram: of the scores.
        notes: what was skipped or stands out, a sentence each.
    """

    table: pa.Table
    strategy: Strategy
    funnel: list[tuple[str, int]]
    histogram: UtilityHistogram
    notes: list[str]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def targetids(self) -> NDArray[np.int64]:
        """The selected TARGETIDs in order, shape [n]."""
        return np.asarray(self.table["TARGETID"], np.int64)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Their scores, shape [n], descending."""
        return np.asarray(self.table["UTILITY"], np.float64)

    @property
    def cut(self) -> float:
        """The utility of the last one selected."""
        return float(self.scores[-1])

    @property
    def on_several_tiles(self) -> int | None:
        """How many were observed on more than one tile; None if tiles are unknown."""
        tiles = self.table["N_TILES"]
        if tiles.null_count == len(tiles):
            return None
        return int(pc.sum(pc.greater(tiles, 1)).as_py())

    def write_targetids(self, path: Path) -> None:
        """Write one TARGETID a line, in order, as ``prospect_pages --target_list`` reads it."""
        write_target_list(path, self.targetids)

    def write_csv(self, path: Path) -> None:
        """Write the table as CSV; integers are exact, unknown values empty."""
        # Arrow would put the names of the columns in quotes.
        options = pyarrow.csv.WriteOptions(include_header=False)
        with written_aside(path) as scratch, scratch.open("wb") as file:
            file.write((",".join(self.table.column_names) + "\n").encode())
            pyarrow.csv.write_csv(self.table, file, options)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``targetid_selection.txt`` and ``selection.csv`` into ``folder``."""
        paths = folder / "targetid_selection.txt", folder / "selection.csv"
        self.write_targetids(paths[0])
        self.write_csv(paths[1])
        return paths
