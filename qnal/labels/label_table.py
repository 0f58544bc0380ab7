"""The label table: every label that inspectors returned, round by round, with its history.

One Parquet file. Rows are only ever added: a corrected label is a further row of its target with a
higher VERSION, and the label that holds is the one with the highest. See docs/labels.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from qnal.errors import InputError
from qnal.files import written_aside

FORMAT_VERSION = 1  # bump this number when a column changes its meaning or type, or goes
METADATA = b"qnal_labels"
NAME = "labels.parquet"

SCHEMA = pa.schema(
    [
        pa.field("TARGETID", pa.int64(), nullable=False),
        pa.field("VERSION", pa.int32(), nullable=False),
        pa.field("ROUND", pa.int32(), nullable=False),
        # What was said.
        ("SPECTYPE", pa.string()),
        ("Z", pa.float64()),
        pa.field("QUALITY", pa.float64(), nullable=False),
        pa.field("BAL", pa.int8(), nullable=False),
        ("COMMENT", pa.string()),
        # By whom and when.
        pa.field("INSPECTORS", pa.string(), nullable=False),
        pa.field("INSPECTIONS", pa.int32(), nullable=False),
        pa.field("TIME", pa.string(), nullable=False),
        # Why the target was picked.
        ("STRATEGY", pa.string()),
        ("REASON", pa.string()),
        pa.field("CONTROL", pa.bool_(), nullable=False),
        ("POPULATION", pa.int64()),
        ("CONTROLS", pa.int32()),
        ("WEIGHT", pa.float64()),
        pa.field("SELECTION", pa.string(), nullable=False),
        # Where its spectra are.
        ("POOL", pa.string()),
        ("FILE", pa.string()),
        ("ROW", pa.int32()),
        ("FILES", pa.list_(pa.string())),
        ("ROWS", pa.list_(pa.int32())),
    ]
)
# What makes a label another one; the same label said again adds no row.
CONTENT = ("SPECTYPE", "Z", "QUALITY", "BAL", "COMMENT", "INSPECTORS")


@dataclass(frozen=True)
class LabelTable:
    """The label table in a file.

    Attributes:
        path: the Parquet file, which need not exist yet.
    """

    path: Path

    def history(self) -> pd.DataFrame:
        """All rows in the order in which they were added; no rows if there is no file.

        Raises:
            InputError: the file is damaged, or of another format version.
        """
        if not self.path.exists():
            return _frame(SCHEMA.empty_table())
        try:
            table = pq.read_table(self.path, partitioning=None)
            version = int((table.schema.metadata or {}).get(METADATA, b"0"))
            if version == FORMAT_VERSION:
                return _frame(table.select(SCHEMA.names))
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.path}: not a readable label table ({reason}).") from error
        raise InputError(
            f"{self.path}: not a label table of format version {FORMAT_VERSION}; stage=label "
            "writes them."
        )

    def current(self) -> pd.DataFrame:
        """The label that holds for each target: its highest VERSION, in the order of TARGETID."""
        return current_labels(self.history())

    def extend(self, make: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        """Add labels, under a lock, so that two jobs can do so at once.

        Args:
            make: given the history, returns the labels to add: the columns of :data:`SCHEMA`
                without VERSION, one row per target. A label that says what already holds
                (:data:`CONTENT`) is not added again.

        Returns:
            The rows that were added.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock")):
            history = self.history()
            added = _news(make(history), current_labels(history))
            if len(added):
                self._write(
                    pd.concat([history, added], ignore_index=True) if len(history) else added
                )
        return added

    def _write(self, rows: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(rows, SCHEMA, preserve_index=False)
        table = table.replace_schema_metadata({METADATA: str(FORMAT_VERSION)})
        with written_aside(self.path) as scratch:
            pq.write_table(table, scratch, compression="zstd")


def current_labels(history: pd.DataFrame) -> pd.DataFrame:
    """The rows of a history that hold, one per target, in the order of TARGETID."""
    ordered = history.sort_values(["TARGETID", "VERSION"], kind="stable")
    return ordered.drop_duplicates("TARGETID", keep="last").reset_index(drop=True)


def sampling_design(history: pd.DataFrame) -> pd.DataFrame:
    """How each target came to be labelled: ROUND, CONTROL, POPULATION and CONTROLS by TARGETID.

    A control pick remains one, whatever a later round says of the target; other targets count for
    the round in which they were first labelled.
    """
    first = history.assign(PICKED=~history["CONTROL"]).sort_values(
        ["TARGETID", "PICKED", "VERSION"], kind="stable"
    )
    first = first.drop_duplicates("TARGETID").set_index("TARGETID")
    return first[["ROUND", "CONTROL", "POPULATION", "CONTROLS"]]


def next_round(history: pd.DataFrame, selection: str) -> int:
    """Number of the round to which labels of a selection belong, from 1.

    Args:
        history: rows of the label table.
        selection: fingerprint of the selection. Labels of a selection that the table already
            knows belong to its round; a new selection begins a new round.
    """
    known = history.loc[history["SELECTION"] == selection, "ROUND"]
    if len(known):
        return int(known.iloc[0])
    return int(history["ROUND"].max()) + 1 if len(history) else 1


def _news(labels: pd.DataFrame, holding: pd.DataFrame) -> pd.DataFrame:
    """The labels that differ from those that hold, with their VERSION."""
    before = holding.set_index("TARGETID").reindex(labels["TARGETID"])
    known = before["VERSION"].notna().to_numpy()
    same = known.copy()
    for name in CONTENT:
        old, new = before[name].to_numpy(object), labels[name].to_numpy(object)
        same &= (old == new) | (pd.isna(old) & pd.isna(new))
    version = np.where(known, before["VERSION"].fillna(0), 0).astype(np.int32) + 1
    rows = labels.assign(VERSION=version)[~same]
    return _frame(pa.Table.from_pandas(rows[SCHEMA.names], SCHEMA, preserve_index=False))


def _frame(table: pa.Table) -> pd.DataFrame:
    """As pandas, with integers that may be null as nullable integers."""
    kinds = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype()}
    frame = table.to_pandas(types_mapper=kinds.get, ignore_metadata=True)
    exact = {f.name: f.type.to_pandas_dtype() for f in SCHEMA if not f.nullable}
    return frame.astype({k: v for k, v in exact.items() if frame[k].dtype != object})
