"""The selected targets, and the files in which inspectors receive them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qnal.files import write_text, written_aside
from qnal.fingerprint import fingerprint
from qnal.query.pool_distribution import PoolDistribution
from qnal.query.selection_files import write_selection_fits
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
            target's best spectrum, then CELL_SPECTRA (number of spectra in its SOM cell), STRATEGY
            (which one selected it; ``control`` for control picks), CONTROL and REASON (why it was
            selected, in words). Control picks come last.
        strategy: the strategy that defines UTILITY.
        funnel: name of each step and the number of spectra or targets that it left.
        histogram: distribution of the utilities.
        notes: sentences about the query for the user, such as filters that were skipped.
        control_population: number of targets for which the control picks stand; None without any.
        pool: distributions over the pool, if they were asked for.
        seed: seed of control picks and of strategies that draw.
    """

    table: pa.Table
    strategy: Strategy
    funnel: list[tuple[str, int]]
    histogram: UtilityHistogram
    notes: list[str]
    control_population: int | None = None
    seed: int = 0
    pool: PoolDistribution | None = None

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

    def metadata(self) -> dict[str, Any]:
        """What the rows do not say: strategy, seed, funnel, and what control picks stand for.

        ``fingerprint`` identifies the selected targets and their order.
        """
        return {
            "fingerprint": fingerprint({"targetids": self.targetids.tolist()}),
            "strategy": self.strategy.name,
            "seed": self.seed,
            "selected": len(self),
            "control": self.control,
            "control_population": self.control_population,
            "funnel": [list(step) for step in self.funnel],
            "notes": self.notes,
        }

    def write(self, folder: Path, more: Mapping[str, Any] | None = None) -> tuple[Path, Path]:
        """Write ``targetid_selection.txt`` and ``selection.csv``; returns their paths.

        Beside them ``selection.fits``, ``selection.parquet`` and, as JSON, the metadata, which the
        FITS header and the Parquet metadata (key ``qnal``) have, too.

        Args:
            folder: where to write.
            more: further metadata, such as the pool.
        """
        paths = folder / "targetid_selection.txt", folder / "selection.csv"
        metadata = self.metadata() | dict(more or {})
        self.write_targetids(paths[0])
        write_text(folder / "selection.json", json.dumps(metadata, indent=1) + "\n")
        write_selection_fits(folder / "selection.fits", self.table, metadata)
        with written_aside(folder / "selection.parquet") as scratch:
            pq.write_table(
                self.table.replace_schema_metadata({"qnal": json.dumps(metadata)}), scratch
            )
        self.write_csv(paths[1])
        return paths
