"""Sums over a scores dataset, computed by DuckDB and kept until a part changes.

Memory does not depend on the number of spectra: DuckDB reads the parts in blocks and holds one row
per group. Sums of measures are sums of integers (units of 1e-9 nats), so that they do not depend on
the order in which parts are read.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from qnal.ensemble.votes import CLASSES
from qnal.errors import InputError
from qnal.files import written_aside
from qnal.scores.dataset import ScoresFolder
from qnal.spectra.rebin import Status

VERSION = 1  # bump this number when a query changes
MEASURES = ("VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO")
KEYS = ("TILEID", "NIGHT", "PETAL_LOC")
COUNTS = ("spectra", *(status.value for status in Status), "dead_camera", "quasars")
SUMS = (*COUNTS, "disagreeing", *(measure.lower() for measure in MEASURES))
OUTLIER = 5  # BMU_OUTLIER, in standard deviations, from which on a spectrum counts as an outlier
BIN = 0.001  # nats, the precision of quantiles
MEMORY = "1GB"

SUM = "coalesce(sum(round({} * 1e9)::BIGINT), 0) / 1e9"
BINS = [f"{measure}_BIN" for measure in MEASURES]
# All groups in one scan of the parts. In a row, the columns that it is not grouped by are null.
SCAN = f"""
    CREATE TEMP TABLE sums AS
    SELECT {", ".join([*KEYS, "class", *BINS])},
           {", ".join(f"grouping({name}) = 0 AS BY_{name}" for name in ("TILEID", *BINS))},
           count(*) AS spectra,
           {", ".join(f"count(*) FILTER (STATUS = '{s.value}') AS {s.value}" for s in Status)},
           count(*) FILTER (CAMERAS <> 7) AS dead_camera,
           count(*) FILTER (C_NOT < 0.5) AS quasars,
           count(*) FILTER (VOTE_ENTROPY > 0) AS disagreeing,
           {", ".join(f"{SUM.format(m)} AS {m.lower()}" for m in MEASURES)}
    FROM (
        SELECT *, {", ".join(f"floor({m} / {BIN})::INTEGER AS {m}_BIN" for m in MEASURES)},
               CASE WHEN STATUS <> 'ok' THEN NULL
                    WHEN C_NOT >= greatest(C_QSO_LZ, C_QSO_HZ) THEN '{CLASSES[0]}'
                    WHEN C_QSO_LZ >= C_QSO_HZ THEN '{CLASSES[1]}' ELSE '{CLASSES[2]}' END AS class
        FROM parts
    )
    GROUP BY GROUPING SETS (({", ".join(KEYS)}), {", ".join(f"(class, {b})" for b in BINS)})
"""
GROUPS = f"""
    SELECT {", ".join([*KEYS, *SUMS])} FROM sums WHERE BY_TILEID ORDER BY ALL
"""
HISTOGRAMS = " UNION ALL ".join(
    f"SELECT class, '{m}' AS measure, {m}_BIN AS bin, ok AS n, {m.lower()} AS total "
    f"FROM sums WHERE BY_{m}_BIN AND class IS NOT NULL"
    for m in MEASURES
)
CLASSES_AND_MEASURES = f"""
    WITH ranked AS (
        SELECT *, sum(n) OVER (PARTITION BY class, measure ORDER BY bin) AS upto,
               sum(n) OVER (PARTITION BY class, measure) AS spectra
        FROM ({HISTOGRAMS})
    )
    SELECT class, measure, any_value(spectra)::BIGINT AS spectra,
           sum(total) / any_value(spectra) AS mean,
           min(bin * {BIN}) FILTER (upto >= 0.9 * spectra) AS upper_decile
    FROM ranked GROUP BY class, measure ORDER BY class, measure
"""
CELLS = f"""
    SELECT BMU AS cell, count(*) AS spectra, count(*) FILTER (C_NOT < 0.5) AS quasars,
           count(*) FILTER (BMU_OUTLIER > {OUTLIER}) AS outliers,
           {SUM.format("VOTE_ENTROPY")} AS vote_entropy
    FROM bmus JOIN parts USING (FILE, ROW)
    WHERE BMU IS NOT NULL AND C_NOT IS NOT NULL GROUP BY BMU ORDER BY BMU
"""


@dataclass(frozen=True)
class Statistics:
    """Sums over a dataset.

    Attributes:
        groups: one row per TILEID, NIGHT and PETAL_LOC (null where unknown) with :data:`SUMS`.
        classes: one row per most voted class and measure: spectra, mean, upper_decile.
        cells: one row per occupied cell of the SOM: cell, spectra, quasars, outliers, vote_entropy.
    """

    groups: pd.DataFrame
    classes: pd.DataFrame
    cells: pd.DataFrame

    def total(self) -> "pd.Series[float]":
        """The sums over all groups."""
        return self.groups[list(SUMS)].sum()

    def by(self, *keys: str) -> pd.DataFrame:
        """The sums by some of :data:`KEYS`, which are columns of the result."""
        grouped = self.groups.groupby(list(keys), dropna=False, as_index=False)
        return grouped[list(SUMS)].sum()


def statistics(
    folder: ScoresFolder, names: Iterable[str], content: str, som: str | None
) -> Statistics:
    """Statistics of a dataset; those of an earlier job if nothing has changed since.

    Args:
        folder: the dataset.
        names: names of the files that have parts.
        content: digest of what the parts hold.
        som: fingerprint of the SOM whose BMUs are counted; None: ``cells`` is empty.

    Raises:
        InputError: a part is damaged.
    """
    key = json.dumps([VERSION, content, som])
    stored = folder.path / "_statistics"
    found = _stored(stored, key)
    if found is None:
        found = _computed(folder, sorted(names), som)
        for field in fields(Statistics):
            table = pa.Table.from_pandas(getattr(found, field.name), preserve_index=False)
            table = table.replace_schema_metadata(table.schema.metadata | {b"qnal": key.encode()})
            with written_aside(stored / f"{field.name}.parquet") as scratch:
                pq.write_table(table, scratch)
    return found


def _stored(folder: Path, key: str) -> Statistics | None:
    frames = []
    for field in fields(Statistics):
        try:
            table = pq.read_table(folder / f"{field.name}.parquet", partitioning=None)
            if table.schema.metadata.get(b"qnal") != key.encode():
                return None
        except (OSError, pa.ArrowException):
            return None
        frames.append(_with_nulls(table.to_pandas()))
    return Statistics(*frames)


def _computed(folder: ScoresFolder, names: list[str], som: str | None) -> Statistics:
    parts = [folder.parts / f"{name}.parquet" for name in names]
    with TemporaryDirectory(prefix="qnal-") as spill:
        config = {"memory_limit": MEMORY, "temp_directory": spill}
        with duckdb.connect(":memory:", config=config) as connection:
            connection.execute("SET preserve_insertion_order = false")
            try:
                return _queried(connection, folder, parts, names, som)
            except duckdb.Error as error:
                raise InputError(
                    f"{folder.path}: its parts cannot be summed up "
                    f"({str(error).splitlines()[0]}); delete what is damaged and run stage=infer "
                    "again."
                ) from error


def _queried(
    connection: duckdb.DuckDBPyConnection,
    folder: ScoresFolder,
    parts: list[Path],
    names: list[str],
    som: str | None,
) -> Statistics:
    if not parts:
        empty = {f"C_{c}": "FLOAT" for c in CLASSES} | dict.fromkeys(MEASURES, "FLOAT")
        empty |= dict.fromkeys((*KEYS, "CAMERAS"), "INTEGER") | {"STATUS": "VARCHAR"}
        columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in empty.items())
        connection.execute(f"CREATE VIEW parts AS SELECT {columns} WHERE false")
        som = None
    else:
        connection.execute(f"CREATE VIEW parts AS FROM {from_parquet(parts)}")
    cells = pd.DataFrame(columns=["cell", "spectra", "quasars", "outliers", "vote_entropy"])
    if som is not None:
        bmus = [folder.bmus(som) / f"{name}.parquet" for name in names]
        connection.execute(f"CREATE VIEW bmus AS FROM {from_parquet(bmus)}")
        cells = connection.sql(CELLS).df()
    connection.execute(SCAN)
    groups, classes = (connection.sql(query).df() for query in (GROUPS, CLASSES_AND_MEASURES))
    return Statistics(*map(_with_nulls, (groups, classes, cells)))


def _with_nulls(frame: pd.DataFrame) -> pd.DataFrame:
    """With integers that may be unknown."""
    return frame.astype({name: "Int64" for name in KEYS if name in frame})


def from_parquet(files: Iterable[Path]) -> str:
    """A FROM clause; what DuckDB would expand as a wildcard is taken literally."""
    quoted = []
    for file in files:
        literal = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(file))
        quoted.append("'" + literal.replace("'", "''") + "'")
    return f"read_parquet([{', '.join(quoted)}], hive_partitioning = false)"
