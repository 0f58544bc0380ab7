"""The selection to inspect: read from a file, identified, and put into random order."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from qnal.errors import InputError
from qnal.labels.picks import SUSPECTED

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class SelectedTargets:
    """The rows of a selection.

    Attributes:
        path: its file.
        rows: one mapping of column names to values per target, in the order of the file.
    """

    path: Path
    rows: list[Row]

    @classmethod
    def read(cls, path: Path) -> "SelectedTargets":
        """Read a selection, CSV or Parquet.

        Raises:
            InputError: it cannot be read, lacks TARGETID, FILE or ROW, has no rows, or lists a
                target twice.
        """
        if path.suffix == ".fits":
            raise InputError(
                f"{path}: the inspection page reads a selection as CSV or Parquet; stage=query "
                "writes both beside the FITS file."
            )
        try:
            table = pq.read_table(path) if path.suffix == ".parquet" else _read_csv(path)
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: not a readable selection ({reason}).") from error
        missing = [c for c in ("TARGETID", "FILE", "ROW") if c not in table.column_names]
        if missing:
            raise InputError(
                f"{path}: has no column {', '.join(missing)}; a selection.csv or .parquet written "
                "by stage=query from a scores dataset is expected."
            )
        for name in ("TARGETID", "ROW"):
            if not pa.types.is_integer(table[name].type) or table[name].null_count:
                raise InputError(f"{path}: column {name} does not hold an integer in every row.")
        rows = table.to_pylist()
        targetids = {row["TARGETID"] for row in rows}
        if not rows:
            raise InputError(f"{path}: the selection has no rows.")
        if len(targetids) < len(rows):
            raise InputError(f"{path}: {len(rows) - len(targetids)} targets are listed twice.")
        return cls(path, rows)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the TARGETIDs, whatever their order."""
        targetids = sorted(row["TARGETID"] for row in self.rows)
        return hashlib.sha256(",".join(map(str, targetids)).encode()).hexdigest()

    @property
    def absolute(self) -> bool:
        """Whether all files are given by absolute paths."""
        return all(Path(str(row["FILE"])).is_absolute() for row in self.rows)

    @property
    def suspected(self) -> bool:
        """Whether it is one of suspected labels, whose files are relative to the work folder."""
        return all(row.get("STRATEGY") == SUSPECTED for row in self.rows)

    def shuffled(self, seed: int) -> list[Row]:
        """The rows in an order that follows from the seed and the TARGETIDs alone."""
        rows = sorted(self.rows, key=lambda row: row["TARGETID"])
        rng = np.random.default_rng([seed, int(self.fingerprint[:8], 16)])
        return [rows[k] for k in rng.permutation(len(rows))]


def _read_csv(path: Path) -> pa.Table:
    exact = {"TARGETID": pa.int64(), "ROW": pa.int64(), "FILE": pa.string()}
    options = pyarrow.csv.ConvertOptions(column_types=exact, strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, convert_options=options)
