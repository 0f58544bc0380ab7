"""Scores as DuckDB tables.

DuckDB reads only the columns that a query needs and spills intermediate results beyond its memory
limit to disk, so that the memory taken by a query does not grow with the number of spectra.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.query.score_source import (
    INTEGERS,
    columns_of,
    create_sidecar,
    create_source,
    parquet,
)
from qnal.query.spectra_sql import BMU_COLUMNS, create_spectra, matching
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.strategy import RANDOM, NumpyStrategy, Strategy

PROTOTYPES = "prototypes of the SOM"  # as a need of strategies


@dataclass(frozen=True)
class ScoreTable:
    """An open database with two tables.

    * ``source``: all columns of the scores, and ``source_part`` and ``source_row``, which identify
      a row.
    * ``spectra``: one short row per spectrum with TARGETID, TILEID, BMU, BMU_DISTANCE,
      BMU_OUTLIER (null where unknown), ``source_part``, ``source_row``, ``utility`` (null for
      unusable spectra), ``science`` (false for sky fibres), and the columns that the filters and
      the strategy of the query need. For a mixture also ``utility_0``, ``utility_1``, …, the
      utilities by each of its strategies. EXPID, FILE and ROW, which break ties between the
      spectra of a target, are there unless ``late``.

    Attributes:
        connection: the database connection.
        columns: names and types of the columns of the scores, in order.
        files: the Parquet files of ``source``, which ``source_part`` indexes; empty for a table.
        rows: number of spectra.
        has_sidecar: whether BMUs were given in files of their own.
        strategy: the strategy that defines the utility; of a mixture, what the scores allow.
        prototypes: weights of the SOM that the BMUs refer to, shape [cells, npix]; None if unknown.
        cells: number of cells of that SOM; None if unknown.
        late: whether ties between the spectra of a target are broken after the selection, for the
            selected targets only.
    """

    connection: duckdb.DuckDBPyConnection
    columns: dict[str, str]
    files: tuple[Path, ...]
    rows: int
    has_sidecar: bool
    strategy: Strategy
    prototypes: NDArray[np.floating] | None = None
    cells: int | None = None
    late: bool = False
    _names: list[str] = field(default_factory=list)

    @property
    def has_bmu(self) -> bool:
        """Whether BMUs are known, from files of their own or from a column BMU."""
        return self.has_sidecar or "BMU" in self.columns

    def has(self, column: str) -> bool:
        """Whether the scores have a column (``SNR_*``: any such), or BMUs in files of their own."""
        known = [*self.columns, *(BMU_COLUMNS if self.has_sidecar else ())]
        return bool(matching(known, [column]))

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row of ``source``."""
        return ("source_part", "source_row") if len(self.files) > 1 else ("source_row",)

    def value(self, sql: str) -> int | float | None:
        """The only value of the only row of a query's result."""
        number: int | float | None = self.connection.execute(sql).fetchall()[0][0]
        return number

    def integers(self, values: NDArray[np.int64]) -> str:
        """Make an array available as a table of one column; returns the table's name."""
        return self.arrays({"value": np.asarray(values, np.int64)})

    def arrays(self, columns: Mapping[str, NDArray[Any]]) -> str:
        """Make arrays of equal length available as a table; returns the table's name."""
        name = self._new_name()
        self.connection.register(name, pa.table(dict(columns)))
        return name

    def stored(self, sql: str) -> str:
        """Store the result of a query that is used several times; returns the table's name."""
        name = self._new_name()
        self.connection.execute(f"CREATE TEMP TABLE {name} AS {sql}")
        return name

    def _new_name(self) -> str:
        self._names.append(f"temporary_{len(self._names)}")
        return self._names[-1]

    def source_of(self, spectra: str) -> str:
        """A query for the rows of ``source`` in the files that a table of spectra comes from."""
        if not self.files:
            return "SELECT * FROM source"
        found = self.connection.execute(
            f"SELECT DISTINCT source_part FROM {spectra} ORDER BY source_part"
        ).fetchall()
        parts = [part for (part,) in found]
        rows = parquet([self.files[part] for part in parts])
        present = columns_of(self.connection, rows)
        missing = [column for column in self.columns if column not in present]
        nulls = "".join(f', NULL::{self.columns[column]} AS "{column}"' for column in missing)
        return (
            f"SELECT *{nulls}, {parts}[file_index::INTEGER + 1] AS source_part, "
            f"file_row_number AS source_row FROM {rows}"
        )


@contextmanager
def open_scores(
    scores: Path | pa.Table,
    bmu: Path | None,
    strategy: Strategy,
    columns: Collection[str] = (),
    temp_dir: Path | None = None,
    memory_limit: str = "3GB",
    seed: int = 0,
    prototypes: NDArray[np.floating] | None = None,
    cells: int | None = None,
    late: bool = False,
) -> Iterator[ScoreTable]:
    """Open scores for a query; the database is removed after the block.

    Args:
        scores: folder of Parquet parts, one Parquet or CSV file, or a table in memory.
        bmu: folder of Parquet parts with FILE, ROW, BMU, and optionally BMU_DISTANCE and
            BMU_OUTLIER.
        strategy: the utility to compute.
        columns: further columns for ``spectra``, if the scores have them.
        temp_dir: folder for what exceeds ``memory_limit``; None is the system's temporary folder.
        memory_limit: memory that DuckDB may use, such as ``4GB``.
        seed: seed of the column RANDOM of strategies.
        prototypes: weights of the SOM that the BMUs refer to, shape [cells, npix].
        cells: number of cells of that SOM.
        late: see :class:`ScoreTable`.

    Raises:
        ConfigError: ``memory_limit`` or ``temp_dir`` cannot be used.
        InputError: the scores are missing, unreadable, empty, or lack a column.
    """
    if temp_dir is not None and not temp_dir.is_dir():
        raise ConfigError(f"temp_dir={temp_dir}: there is no such folder.")
    name = "the table of scores" if isinstance(scores, pa.Table) else str(scores)
    with (
        TemporaryDirectory(prefix="qnal-query-", dir=temp_dir) as temporary,
        _connect(temporary, memory_limit) as connection,
    ):
        try:
            yield _load(
                connection, scores, bmu, strategy, columns, name, seed, prototypes, cells, late
            )
        except duckdb.OutOfMemoryException as error:
            raise InputError(
                f"{name}: the query exceeds its memory limit of {memory_limit} and the free space "
                f"in {temporary}; raise memory_limit or set temp_dir to a larger folder "
                f"({_first_line(error)})."
            ) from error
        except duckdb.Error as error:
            raise InputError(f"{name}: cannot be queried ({_first_line(error)}).") from error


def _connect(temporary: str, memory_limit: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"temp_directory": temporary})
    try:
        connection.execute("SET memory_limit = ?", [memory_limit])
    except duckdb.Error as error:
        connection.close()
        raise ConfigError(
            f"memory_limit={memory_limit} cannot be used; it takes a size, such as 4GB."
        ) from error
    return connection


def _load(
    connection: duckdb.DuckDBPyConnection,
    scores: Path | pa.Table,
    bmu: Path | None,
    strategy: Strategy,
    columns: Collection[str],
    name: str,
    seed: int,
    prototypes: NDArray[np.floating] | None,
    cells: int | None,
    late: bool,
) -> ScoreTable:
    files = create_source(connection, scores)
    # All later queries have an ORDER BY where the order matters; this saves memory.
    connection.execute("SET preserve_insertion_order = false")
    types = columns_of(connection, "source")
    del types["source_part"], types["source_row"]
    known = {*types, RANDOM}
    known |= set(BMU_COLUMNS) if bmu is not None else set()
    known |= {PROTOTYPES} if prototypes is not None else set()
    if isinstance(strategy, Mixture):
        strategy = strategy.available(known, name)
    _check_columns(types, strategy, name, known)
    if bmu is not None:
        create_sidecar(connection, bmu, types, name)
    for computed in strategy.computed():
        _register(connection, computed)
    for statement in create_spectra(
        types, strategy, columns, bmu is not None, seed, len(files) <= 1, place=not late
    ):
        connection.execute(statement)
    rows, unnamed = connection.execute(
        "SELECT count(*), count(*) - count(TARGETID) FROM spectra"
    ).fetchall()[0]
    if not rows:
        raise InputError(f"{name}: holds no spectra.")
    if unnamed:
        raise InputError(f"{name}: {unnamed} of {rows} spectra have no TARGETID.")
    table = ScoreTable(
        connection, types, files, rows, bmu is not None, strategy, prototypes, cells, late
    )
    source = parquet(files, same_columns=True) if files else "source"
    if bmu is not None and rows != table.value(f"SELECT count(*) FROM {source}"):
        raise InputError(f"{bmu}: has several BMUs for one spectrum (FILE, ROW).")
    return table


def _register(connection: duckdb.DuckDBPyConnection, strategy: NumpyStrategy) -> None:
    """Make a utility that is computed with numpy a function in SQL."""

    def utility(*columns: pa.ChunkedArray) -> pa.Array:
        arrays = [column.to_numpy() for column in columns]
        with np.errstate(all="ignore"):
            found = strategy.utility_of(dict(zip(strategy.columns, arrays, strict=True)))
        if np.shape(found) != arrays[0].shape:
            raise ValueError(
                f"{type(strategy).__name__}.utility_of returned shape {np.shape(found)} for "
                f"{len(arrays[0])} spectra"
            )
        return pa.array(found, pa.float64())

    connection.create_function(
        strategy.function, utility, None, "DOUBLE", type="arrow", null_handling="special"
    )


def _check_columns(
    types: dict[str, str], strategy: Strategy, name: str, known: Collection[str]
) -> None:
    for column in ("TARGETID", *strategy.columns, *strategy.needs):
        if column not in known:
            raise InputError(
                f"{name}: has no column {column}, which strategy {strategy.name} needs."
            )
    for column in INTEGERS:
        if column in types and "INT" not in types[column]:
            raise InputError(f"{name}: column {column} is {types[column]} instead of an integer.")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
