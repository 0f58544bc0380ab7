"""The selected targets, and the files in which inspectors receive them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from qnal.files import written_aside
from qnal.query.strategies.strategy import Strategy
from qnal.query.target_list import write_target_list


@dataclass(frozen=True, eq=False)
class UtilityHistogram:
    """Distribution of the utilities.

    Attributes:
        edges: edges of the bins, from 0 to the highest possible utility, float64 [bins + 1].
        before: number of spectra per bin before the best spectrum of each target is chosen,
            int64 [bins].
        after: number of targets per bin after that, int64 [bins].
    """

    edges: NDArray[np.float64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Selection:
    """The result of a query.

    Attributes:
        table: one row per target, highest utility first: RANK from 1, UTILITY, N_TILES (number of
            tiles on which the target was observed), and all columns of the scores for the
            target's best spectrum, and CONTROL. Control picks come last.
        strategy: the strategy that defines UTILITY.
        funnel: name of each step and the number of spectra or targets that it left.
        histogram: distribution of the utilities.
        notes: sentences about the query for the user, such as filters that were skipped.
        control_population: number of targets for which the control picks stand; None without any.
    """

    table: pa.Table
    strategy: Strategy
    funnel: list[tuple[str, int]]
    histogram: UtilityHistogram
    notes: list[str]
    control_population: int | None = None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def targetids(self) -> NDArray[np.int64]:
        """The selected TARGETIDs in order, int64 [n]."""
        return np.asarray(self.table["TARGETID"], np.int64)

    @property
    def utilities(self) -> NDArray[np.float64]:
        """The utilities of the selected targets in order, float64 [n]."""
        return np.asarray(self.table["UTILITY"], np.float64)

    @property
    def cut(self) -> float:
        """The lowest utility selected, control picks aside."""
        return float(self.utilities[~self.is_control].min())

    @property
    def is_control(self) -> NDArray[np.bool_]:
        """Whether a target is a control pick, bool [n]."""
        return np.asarray(self.table["CONTROL"], bool)

    @property
    def control(self) -> int:
        """Number of control picks."""
        return int(self.is_control.sum())

    @property
    def on_several_tiles(self) -> int | None:
        """Number of targets observed on more than one tile; None if tiles are unknown."""
        tiles = self.table["N_TILES"]
        if tiles.null_count == len(tiles):
            return None
        return int(pc.sum(pc.greater(tiles, 1)).as_py())

    def write_targetids(self, path: Path) -> None:
        """Write one TARGETID per line, as ``prospect_pages --target_list`` reads them."""
        write_target_list(path, self.targetids)

    def write_csv(self, path: Path) -> None:
        """Write the table as CSV with exact integers; null values are empty."""
        # pyarrow would quote the column names.
        options = pyarrow.csv.WriteOptions(include_header=False)
        with written_aside(path) as scratch, scratch.open("wb") as file:
            file.write((",".join(self.table.column_names) + "\n").encode())
            pyarrow.csv.write_csv(self.table, file, options)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write ``targetid_selection.txt`` and ``selection.csv``; returns their paths."""
        paths = folder / "targetid_selection.txt", folder / "selection.csv"
        self.write_targetids(paths[0])
        self.write_csv(paths[1])
        return paths
