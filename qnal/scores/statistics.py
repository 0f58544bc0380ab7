"""Sums over a scores dataset, computed by DuckDB and kept: new parts are added to them.

Memory does not depend on the number of spectra: DuckDB reads the parts in blocks and holds one row
per group. Measures are summed as integers, in units of 1e-9 nats, so that sums do not depend on the
order in which parts are read or added.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
from qnal.scores.file_index import IndexEntry, content_digest
from qnal.spectra.rebin import Status
from qnal.spectra.target_table import arms_of

VERSION = 1  # bump this number when a query changes
MEASURES = ("VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO")
KEYS = ("TILEID", "NIGHT", "PETAL_LOC")
COUNTS = ("spectra", *(status.value for status in Status), "dead_camera", "quasars")
SUMS = (*COUNTS, "disagreeing", *(measure.lower() for measure in MEASURES))
OUTLIER = 5  # BMU_OUTLIER, in standard deviations, from which on a spectrum counts as an outlier
BIN = 0.001  # nats, the precision of quantiles
MEMORY = "1GB"

UNIT = 1e-9  # nats, of sums of measures
SUM = f"coalesce(sum(round({{}} / {UNIT})::BIGINT), 0)::BIGINT"
BINS = [f"{measure}_BIN" for measure in MEASURES]
# All groups in one scan of the parts. In a row, the columns that it is not grouped by are null.
SCAN = f"""
    CREATE TEMP TABLE sums AS
    SELECT {", ".join([*KEYS, "class", *BINS])},
           {", ".join(f"grouping({name}) = 0 AS BY_{name}" for name in ("TILEID", *BINS))},
           count(*) AS spectra,
           {", ".join(f"count(*) FILTER (STATUS = '{s.value}') AS {s.value}" for s in Status)},
           count(*) FILTER (CAMERAS <> {{all_arms}}) AS dead_camera,
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
    f"SELECT class, '{m}' AS measure, {m}_BIN AS bin, ok AS spectra, {m.lower()} AS total "
    f"FROM sums WHERE BY_{m}_BIN AND class IS NOT NULL"
    for m in MEASURES
)
HISTOGRAMS += " ORDER BY class, measure, bin"
CELLS = f"""
    SELECT BMU AS cell, count(*) AS spectra, count(*) FILTER (C_NOT < 0.5) AS quasars,
           count(*) FILTER (BMU_OUTLIER > {OUTLIER}) AS outliers,
           {SUM.format("VOTE_ENTROPY")} AS vote_entropy
    FROM bmus JOIN parts USING (FILE, ROW)
    WHERE BMU IS NOT NULL AND C_NOT IS NOT NULL GROUP BY BMU ORDER BY BMU
"""


@dataclass(frozen=True)
class Statistics:
    """Sums over a dataset; those of measures are in :data:`UNIT`.

    Attributes:
        groups: one row per TILEID, NIGHT and PETAL_LOC (null where unknown) with :data:`SUMS`.
        histograms: one row per most voted class, measure and bin: spectra and the total of the
            measure in it.
        cells: one row per occupied cell of the SOM: spectra, quasars, outliers, vote_entropy.
    """

    groups: pd.DataFrame
    histograms: pd.DataFrame
    cells: pd.DataFrame

    def total(self) -> "pd.Series[float]":
        """The sums over all groups, of measures in nats."""
        return _in_nats(self.groups[list(SUMS)].sum().to_frame().T).iloc[0]

    def by(self, *keys: str) -> pd.DataFrame:
        """The sums by some of :data:`KEYS`, which are columns of the result; in nats."""
        grouped = self.groups.groupby(list(keys), dropna=False, as_index=False)
        return _in_nats(grouped[list(SUMS)].sum())

    def __add__(self, other: "Statistics") -> "Statistics":
        """The statistics of two disjoint sets of parts together."""
        frames = []
        for name, keys in GROUPED_BY.items():
            both = pd.concat([getattr(self, name), getattr(other, name)])
            frames.append(both.groupby(keys, dropna=False, as_index=False).sum())
        return Statistics(*frames)


GROUPED_BY = {
    "groups": list(KEYS),
    "histograms": ["class", "measure", "bin"],
    "cells": ["cell"],
}


def statistics(
    folder: ScoresFolder,
    entries: Mapping[str, IndexEntry],
    som: str | None,
    before: Mapping[str, IndexEntry] | None = None,
) -> Statistics:
    """Statistics of a dataset. Only parts that are new since the last call are read, if it can be.

    Args:
        folder: the dataset.
        entries: of all its parts.
        som: fingerprint of the SOM whose BMUs are counted; None: ``cells`` is empty.
        before: entries at an earlier call.

    Raises:
        InputError: a part is damaged.
    """
    known, found = _stored(folder, som)
    content = content_digest(entries)
    if found is not None and known == content:
        return found
    before = before or {}
    same = all(n in entries and entries[n].version == e.version for n, e in before.items())
    if found is not None and same and known == content_digest(before):
        found += _computed(folder, sorted(entries.keys() - before.keys()), som)
    else:
        found = _computed(folder, sorted(entries), som)
    for name in GROUPED_BY:
        table = pa.Table.from_pandas(getattr(found, name), preserve_index=False)
        meta = {**(table.schema.metadata or {}), b"qnal": _key(content, som)}
        with written_aside(folder.path / "_statistics" / f"{name}.parquet") as scratch:
            pq.write_table(table.replace_schema_metadata(meta), scratch)
    return found


def _key(content: str, som: str | None) -> bytes:
    return json.dumps([VERSION, som, content]).encode()


def _stored(folder: ScoresFolder, som: str | None) -> tuple[str | None, Statistics | None]:
    """Stored statistics with the digest of the content that they are of; None where damaged."""
    keys, frames = set(), []
    try:
        for name in GROUPED_BY:
            path = folder.path / "_statistics" / f"{name}.parquet"
            table = pq.read_table(path, partitioning=None)
            keys.add(table.schema.metadata[b"qnal"])
            frames.append(_with_nulls(table.to_pandas()))
        (key,) = keys
        content = str(json.loads(key)[-1])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None, None
    return (content, Statistics(*frames)) if key == _key(content, som) else (None, None)


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
        som, all_arms = None, 0
    else:
        connection.execute(f"CREATE VIEW parts AS FROM {from_parquet(parts)}")
        all_arms = (1 << len(arms_of(connection.table("parts").columns))) - 1
    names_of_sums = ["cell", "spectra", "quasars", "outliers", "vote_entropy"]
    cells = pd.DataFrame({name: pd.Series(dtype="int64") for name in names_of_sums})
    if som is not None:
        bmus = [folder.bmus(som) / f"{name}.parquet" for name in names]
        connection.execute(f"CREATE VIEW bmus AS FROM {from_parquet(bmus)}")
        cells = connection.sql(CELLS).df()
    connection.execute(SCAN.format(all_arms=all_arms))
    groups, histograms = (connection.sql(query).df() for query in (GROUPS, HISTOGRAMS))
    return Statistics(*map(_with_nulls, (groups, histograms, cells)))


def _in_nats(sums: pd.DataFrame) -> pd.DataFrame:
    return sums.assign(**{m.lower(): sums[m.lower()] * UNIT for m in MEASURES})


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
