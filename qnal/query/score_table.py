"""Scores as DuckDB tables.

DuckDB reads only the columns that a query needs and spills intermediate results beyond its memory
limit to disk, so that the memory taken by a query does not grow with the number of spectra.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from qnal.query.random_number import random_number
from qnal.query.strategies.class_shares import VOTES
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.strategy import RANDOM, Strategy

# Columns that must be integers. In a CSV they are read as such instead of being guessed from the
# first rows.
INTEGERS = ("TARGETID", "TILEID", "EXPID", "NIGHT", "HPXPIXEL", "ROW", "CAMERAS", "BMU")
ANY = "*"  # at the end of a name: all columns that begin like it
BMU_COLUMNS = ("BMU", "BMU_DISTANCE", "BMU_OUTLIER")
PROTOTYPES = "prototypes of the SOM"  # as a need of strategies
FIXED_COLUMNS = ("TARGETID", "EXPID", "FILE", "ROW", "TILEID", *BMU_COLUMNS)


@dataclass(frozen=True)
class ScoreTable:
    """An open database with two tables.

    * ``source``: all columns of the scores, and ``source_part`` and ``source_row``, which identify
      a row.
    * ``spectra``: one short row per spectrum with TARGETID, EXPID, FILE, ROW, TILEID, BMU,
      BMU_DISTANCE, BMU_OUTLIER (null where unknown), ``source_part``, ``source_row``,
      ``utility`` (null for unusable spectra), ``science`` (false for sky fibres), and the columns
      that the filters and the strategy of the query need. For a mixture also ``utility_0``,
      ``utility_1``, …, the utilities by each of its strategies.

    Attributes:
        connection: the database connection.
        columns: names and types of the columns of the scores, in order.
        files: the Parquet files of ``source``, which ``source_part`` indexes; empty for a table.
        rows: number of spectra.
        has_sidecar: whether BMUs were given in files of their own.
        strategy: the strategy that defines the utility; of a mixture, what the scores allow.
        prototypes: weights of the SOM that the BMUs refer to, shape [cells, npix]; None if unknown.
        cells: number of cells of that SOM; None if unknown.
    """

    connection: duckdb.DuckDBPyConnection
    columns: dict[str, str]
    files: tuple[Path, ...]
    rows: int
    has_sidecar: bool
    strategy: Strategy
    prototypes: NDArray[np.floating] | None = None
    cells: int | None = None
    _integers: list[str] = field(default_factory=list)

    @property
    def has_bmu(self) -> bool:
        """Whether BMUs are known, from files of their own or from a column BMU."""
        return self.has_sidecar or "BMU" in self.columns

    def has(self, column: str) -> bool:
        """Whether the scores have a column (``SNR_*``: any such), or BMUs in files of their own."""
        if column.endswith(ANY):
            return bool(_matching(self.columns, [column]))
        return column in self.columns or (self.has_sidecar and column in BMU_COLUMNS)

    def value(self, sql: str) -> int | float | None:
        """The only value of the only row of a query's result."""
        number: int | float | None = self.connection.execute(sql).fetchall()[0][0]
        return number

    def integers(self, values: NDArray[np.int64]) -> str:
        """Make an array available as a table of one column; returns the table's name."""
        name = f"integers_{len(self._integers)}"
        self.connection.register(name, pa.table({"value": pa.array(values, pa.int64())}))
        self._integers.append(name)
        return name

    def arrays(self, columns: Mapping[str, NDArray[Any]]) -> str:
        """Make arrays of equal length available as a table; returns the table's name."""
        name = f"integers_{len(self._integers)}"
        self.connection.register(name, pa.table(dict(columns)))
        self._integers.append(name)
        return name

    def source_of(self, spectra: str) -> str:
        """A query for the rows of ``source`` in the files that a table of spectra comes from."""
        if not self.files:
            return "SELECT * FROM source"
        found = self.connection.execute(
            f"SELECT DISTINCT source_part FROM {spectra} ORDER BY source_part"
        ).fetchall()
        parts = [part for (part,) in found]
        rows = _parquet([self.files[part] for part in parts])
        present = _columns(self.connection, rows)
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
    memory_limit: str = "4GB",
    seed: int = 0,
    prototypes: NDArray[np.floating] | None = None,
    cells: int | None = None,
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
            yield _load(connection, scores, bmu, strategy, columns, name, seed, prototypes, cells)
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
) -> ScoreTable:
    files = _create_source(connection, scores)
    # All later queries have an ORDER BY where the order matters; this saves memory.
    connection.execute("SET preserve_insertion_order = false")
    types = _columns(connection, "source")
    del types["source_part"], types["source_row"]
    known = {*types, RANDOM}
    known |= set(BMU_COLUMNS) if bmu is not None else set()
    known |= {PROTOTYPES} if prototypes is not None else set()
    if isinstance(strategy, Mixture):
        strategy = strategy.available(known, name)
    _check_columns(types, strategy, name, known)
    if bmu is not None:
        _create_sidecar(connection, bmu, types, name)
    needs = _parts_of(strategy, "needs")
    wanted = _matching(types, sorted({*columns, *needs}))
    connection.execute(_spectra_sql(types, strategy, wanted, sidecar=bmu is not None, seed=seed))
    rows, unnamed = connection.execute(
        "SELECT count(*), count(*) - count(TARGETID) FROM spectra"
    ).fetchall()[0]
    if not rows:
        raise InputError(f"{name}: holds no spectra.")
    if unnamed:
        raise InputError(f"{name}: {unnamed} of {rows} spectra have no TARGETID.")
    table = ScoreTable(connection, types, files, rows, bmu is not None, strategy, prototypes, cells)
    source = _parquet(files, same_columns=True) if files else "source"
    if bmu is not None and rows != table.value(f"SELECT count(*) FROM {source}"):
        raise InputError(f"{bmu}: has several BMUs for one spectrum (FILE, ROW).")
    return table


def _create_source(
    connection: duckdb.DuckDBPyConnection, scores: Path | pa.Table
) -> tuple[Path, ...]:
    """Create ``source``; returns the Parquet files it reads."""
    if isinstance(scores, pa.Table):
        connection.register("given", scores)
        rows = "SELECT * FROM given"
    elif scores.suffix == ".csv":
        rows = _csv_sql(connection, scores)
    else:
        files = _parts(scores, "scores")
        connection.execute(
            "CREATE VIEW source AS "
            "SELECT *, file_index AS source_part, file_row_number AS source_row "
            f"FROM {_parquet(files)}"
        )
        return files
    connection.execute(
        "CREATE TEMP TABLE source AS "
        f"SELECT *, 0 AS source_part, row_number() OVER () AS source_row FROM ({rows})"
    )
    return ()


def _csv_sql(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """A query that reads a CSV file with exact integers."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    header = _columns(connection, f"read_csv({_quoted(path)}, all_varchar = true)")
    types = {column: "BIGINT" for column in header if column in INTEGERS}
    exact = "*"
    if "TARGETID" in types:
        # DuckDB would round a decimal number to an integer. TARGETIDs that were written as
        # floating-point numbers have lost digits and are refused.
        types["TARGETID"] = "VARCHAR"
        exact = "* REPLACE (exact_integer(TARGETID) AS TARGETID)"
        connection.execute(
            "CREATE MACRO exact_integer(x) AS CASE "
            "WHEN regexp_full_match(trim(x), '-?[0-9]+') THEN x::BIGINT "
            "WHEN x IS NOT NULL THEN error('TARGETID ' || x || ' is not an integer') END"
        )
    listed = ", ".join(f"'{column}': '{kind}'" for column, kind in types.items())
    return f"SELECT {exact} FROM read_csv({_quoted(path)}, types = {{{listed}}})"


def _create_sidecar(
    connection: duckdb.DuckDBPyConnection, bmu: Path, types: dict[str, str], name: str
) -> None:
    if missing := [column for column in ("FILE", "ROW") if column not in types]:
        raise InputError(
            f"{name}: has no column {' and '.join(missing)}, by which BMUs are looked up in {bmu}."
        )
    parts = _parquet(_parts(bmu, "BMUs"))
    present = _columns(connection, parts)
    if missing := sorted({"FILE", "ROW", "BMU"} - present.keys()):
        raise InputError(f"{bmu}: has no column {', '.join(missing)}.")
    numbers = ", ".join(
        f"{column if column in present else 'NULL'}::FLOAT AS {column}"
        for column in ("BMU_DISTANCE", "BMU_OUTLIER")
    )
    connection.execute(f"CREATE VIEW sidecar AS SELECT FILE, ROW, BMU, {numbers} FROM {parts}")


def _parts(path: Path, what: str) -> tuple[Path, ...]:
    """A Parquet file, or the parts below a folder in the order of their paths."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder of {what}.")
    found = [path] if path.is_file() else path.rglob("*.parquet")
    # Names of files that are still being written begin with a dot.
    files = tuple(sorted(file for file in found if not file.name.startswith((".", "_"))))
    if not files:
        raise InputError(f"{path}: holds no {what} (no *.parquet in it).")
    return files


def _parquet(files: Sequence[Path], same_columns: bool = False) -> str:
    """A FROM clause for Parquet files; with ``same_columns`` only one footer is read in advance."""
    listed = ", ".join(map(_quoted, files))
    # A folder name such as `key=value`, as Hydra's sweeps create, is not a partition.
    return (
        f"read_parquet([{listed}], union_by_name = {not same_columns}, hive_partitioning = false)"
    )


def _matching(present: Collection[str], names: Iterable[str]) -> list[str]:
    """The columns that have one of the names, or begin as one that ends with :data:`ANY`."""
    found = (
        [c for c in present if c.startswith(name.removesuffix(ANY))]
        if name.endswith(ANY)
        else [name] * (name in present)
        for name in names
    )
    return list(dict.fromkeys(column for each in found for column in each))


def _columns(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[str, str]:
    """Names and types of the columns of a table."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
    return {row[0]: row[1] for row in described}


def _quoted(path: Path) -> str:
    """A path as an SQL string, without DuckDB's wildcards."""
    escaped = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))
    return "'" + escaped.replace("'", "''") + "'"


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


def _spectra_sql(
    types: dict[str, str], strategy: Strategy, wanted: Sequence[str], sidecar: bool, seed: int
) -> str:
    """The statement that creates ``spectra``."""

    def known(column: str, kind: str = "INTEGER") -> str:
        return f"s.{column}" if column in types else f"NULL::{kind}"

    def number(column: str) -> str:
        if column == RANDOM:
            return f"greatest({random_number(seed)}, 1e-12) AS {RANDOM}"
        if types[column] == "VARCHAR":
            return f's."{column}"'
        exact = f"s.{column}::DOUBLE"
        # A share of votes such as 67/200 is inexact in float32. Rounding to seven decimals
        # restores it, so that Parquet and CSV files of the same votes give the same ranking.
        if column in VOTES and types[column] == "FLOAT":
            exact = f"round({exact}, 7)"
        return f"CASE WHEN isnan({exact}) THEN NULL ELSE {exact} END AS {column}"

    science = f"coalesce({known('OBJTYPE', 'VARCHAR')}::VARCHAR, '') <> 'SKY'"
    kinds = {"FILE": "VARCHAR", "BMU_DISTANCE": "FLOAT", "BMU_OUTLIER": "FLOAT"}
    kept = [
        f"{f'b.{c}' if sidecar and c in BMU_COLUMNS else known(c, kinds.get(c, 'INTEGER'))} AS {c}"
        for c in FIXED_COLUMNS
    ]
    columns = _parts_of(strategy, "columns")
    kept += [f's."{c}"' for c in wanted if c not in (*FIXED_COLUMNS, *columns)]
    unwanted = ["usable", *(c for c in columns if c not in (*FIXED_COLUMNS, *wanted))]
    parts = [part for part, _ in strategy.parts] if isinstance(strategy, Mixture) else []
    utilities = [f"{_utility_sql(strategy)} AS utility"]
    utilities += [f"{_utility_sql(part)} AS utility_{i}" for i, part in enumerate(parts)]
    status = "coalesce(s.STATUS::VARCHAR, '') = 'ok'" if "STATUS" in types else "true"
    join = "LEFT JOIN sidecar b ON s.FILE = b.FILE AND s.ROW = b.ROW" if sidecar else ""
    return f"""
        CREATE TEMP TABLE spectra AS
        SELECT * EXCLUDE ({", ".join(unwanted)}),
            {", ".join(utilities)}
        FROM (
            SELECT {", ".join(kept)}, s.source_part, s.source_row,
                s.TARGETID >= 0 AND {science} AS science, {status} AS usable,
                {", ".join(number(c) for c in columns if c not in FIXED_COLUMNS)}
            FROM source s {join}
        )"""


def _utility_sql(strategy: Strategy) -> str:
    """The utility, null for unusable spectra and where a column is unknown."""
    usable = " AND ".join(["usable", *(f"{c} IS NOT NULL" for c in strategy.columns)])
    return f"CASE WHEN {usable} THEN round({strategy.utility()}, 12) END"


def _parts_of(strategy: Strategy, attribute: str) -> list[str]:
    """The columns or needs of a strategy, or of all strategies of a mixture, each once."""
    parts = [part for part, _ in strategy.parts] if isinstance(strategy, Mixture) else [strategy]
    return list(dict.fromkeys(name for part in parts for name in getattr(part, attribute)))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
