"""The scores, wherever they lie, as a DuckDB table of what a query compares.

DuckDB reads only the columns asked for and spills to disk what exceeds its memory limit, so the
memory a query takes does not grow with the number of spectra.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from qnal.errors import InputError
from qnal.query.utility import UTILITIES, Strategy

# Types of the columns a query uses; a CSV's are not to be guessed from its first rows.
INTEGERS = ("TARGETID", "TILEID", "EXPID", "NIGHT", "HPXPIXEL", "ROW", "CAMERAS", "BMU")
VOTES = ("C_NOT", "C_QSO_LZ", "C_QSO_HZ")


@dataclass(frozen=True)
class ScoreTable:
    """An open database.

    It holds

    * ``source``, all columns as they lie, and ``source_part``, ``source_row``, which name a row;
    * ``compared``, one short row a spectrum: ``target, utility, expid, file, row, source_part,
      source_row, tile, cameras, bmu, bmu_distance, bmu_outlier, answered, science``, null where
      unknown.

    Attributes:
        connection: the database.
        columns: of the scores, in order, with their types.
        files: the Parquet files of ``source``, which ``source_part`` counts; none for a table.
        rows: how many spectra.
        has_sidecar: whether best cells were given beside the scores.
    """

    connection: duckdb.DuckDBPyConnection
    columns: dict[str, str]
    files: tuple[Path, ...]
    rows: int
    has_sidecar: bool

    @property
    def has_bmu(self) -> bool:
        """Whether best cells are known, from beside the scores or from a column BMU."""
        return self.has_sidecar or "BMU" in self.columns

    def value(self, sql: str) -> int | float | None:
        """The one number that a query answers."""
        number: int | float | None = self.connection.execute(sql).fetchall()[0][0]
        return number

    def source_of(self, spectra: str) -> str:
        """A query for the rows of ``source`` in the files that a table of spectra comes from."""
        if not self.files:
            return "SELECT * FROM source"
        found = self.connection.execute(
            f"SELECT DISTINCT source_part FROM {spectra} ORDER BY source_part"
        ).fetchall()
        parts = [part for (part,) in found]
        rows = _parquet([self.files[part] for part in parts])
        present = self.connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
        missing = [column for column in self.columns if column not in {row[0] for row in present}]
        nulls = "".join(f', NULL::{self.columns[column]} AS "{column}"' for column in missing)
        return (
            f"SELECT *{nulls}, {parts}[file_index::INTEGER + 1] AS source_part, "
            f"file_row_number AS source_row FROM {rows}"
        )


@contextmanager
def opened(
    scores: Path | pa.Table,
    bmu: Path | None,
    strategy: Strategy,
    spill: Path | None = None,
    memory_limit: str = "4GB",
) -> Iterator[ScoreTable]:
    """Open scores to be queried by a strategy; the database is gone after the block.

    Args:
        scores: folder of Parquet parts, one Parquet or CSV file, or a table in memory.
        bmu: folder of Parquet parts with FILE, ROW, BMU and maybe BMU_DISTANCE, BMU_OUTLIER.
        spill: folder for what exceeds ``memory_limit``; the system's temporary one by default.

    Raises:
        InputError: nothing there, unreadable, empty, or without the columns needed.
    """
    with TemporaryDirectory(prefix="qnal-query-", dir=spill) as temporary:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "temp_directory": temporary,
            "memory_limit": memory_limit,
        }
        with duckdb.connect(":memory:", config=settings) as connection:
            name = "the scores" if isinstance(scores, pa.Table) else str(scores)
            try:
                yield _prepared(connection, scores, bmu, strategy, name)
            except duckdb.OutOfMemoryException as error:
                raise InputError(
                    f"{name}: the query needs more than {memory_limit} of memory and what "
                    f"{temporary} can hold; raise query.memory_limit or give another folder to "
                    f"spill to ({_first_line(error)})"
                ) from error
            except duckdb.Error as error:
                raise InputError(f"{name}: cannot be queried ({_first_line(error)})") from error


def _prepared(
    connection: duckdb.DuckDBPyConnection,
    scores: Path | pa.Table,
    bmu: Path | None,
    strategy: Strategy,
    name: str,
) -> ScoreTable:
    files = _open_source(connection, scores)
    # From here on order comes from ORDER BY alone, which saves memory.
    connection.execute("SET preserve_insertion_order = false")
    described = connection.execute("DESCRIBE source").fetchall()
    types = {row[0]: row[1] for row in described if row[0] not in ("source_part", "source_row")}
    _check_types(types, strategy, name)
    if bmu is not None:
        _open_sidecar(connection, bmu, types, name)
    connection.execute(_compared_sql(types, strategy, sidecar=bmu is not None))
    rows, nameless = connection.execute(
        "SELECT count(*), count(*) - count(target) FROM compared"
    ).fetchall()[0]
    if not rows:
        raise InputError(f"{name}: holds no spectra")
    if nameless:
        raise InputError(f"{name}: {nameless} of {rows} spectra have no TARGETID")
    table = ScoreTable(connection, types, files, rows, bmu is not None)
    if bmu is not None and rows != table.value(_count_sql(files)):
        raise InputError(f"{bmu}: names some spectra (FILE, ROW) more than once")
    return table


def _open_source(
    connection: duckdb.DuckDBPyConnection, scores: Path | pa.Table
) -> tuple[Path, ...]:
    if isinstance(scores, pa.Table):
        connection.register("given", scores)
        rows = "SELECT * FROM given"
    elif scores.suffix == ".csv":
        if not scores.is_file():
            raise InputError(f"{scores}: no such file")
        header = connection.execute(
            f"DESCRIBE SELECT * FROM read_csv({_quoted(scores)}, all_varchar = true)"
        ).fetchall()
        known = {row[0]: "BIGINT" for row in header if row[0] in INTEGERS}
        # DuckDB rounds a decimal to an integer; a TARGETID that went through a float must not pass
        known |= {"TARGETID": "VARCHAR"} if "TARGETID" in known else {}
        types = "{" + ", ".join(f"'{column}': '{kind}'" for column, kind in known.items()) + "}"
        exact = "* REPLACE (_exact(TARGETID) AS TARGETID)" if "TARGETID" in known else "*"
        connection.execute(
            "CREATE MACRO _exact(x) AS CASE WHEN regexp_full_match(trim(x), '-?[0-9]+') "
            "THEN x::BIGINT WHEN x IS NOT NULL THEN error('TARGETID ' || x || ' is no integer') END"
        )
        rows = f"SELECT {exact} FROM read_csv({_quoted(scores)}{f', types = {types}'})"
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


def _open_sidecar(
    connection: duckdb.DuckDBPyConnection, bmu: Path, types: dict[str, str], name: str
) -> None:
    if missing := [column for column in ("FILE", "ROW") if column not in types]:
        raise InputError(
            f"{name}: has no column {' and '.join(missing)} to look up best cells of {bmu} by"
        )
    # Parts of earlier versions lack a column that later ones have.
    parts = _parquet(_parts(bmu, "best cells"))
    present = {row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {parts}").fetchall()}
    if missing := sorted({"FILE", "ROW", "BMU"} - present):
        raise InputError(f"{bmu}: best cells need a column {', '.join(missing)}")
    numbers = ", ".join(
        f"{column}::FLOAT AS {column}" if column in present else f"NULL::FLOAT AS {column}"
        for column in ("BMU_DISTANCE", "BMU_OUTLIER")
    )
    connection.execute(f"CREATE VIEW sidecar AS SELECT FILE, ROW, BMU, {numbers} FROM {parts}")


def _parts(path: Path, what: str) -> tuple[Path, ...]:
    """A Parquet file or the parts below a folder, sorted."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder of {what}")
    # Parts still being written have names that begin with a dot.
    found = [path] if path.is_file() else path.rglob("*.parquet")
    files = tuple(sorted(file for file in found if not file.name.startswith(".")))
    if not files:
        raise InputError(f"{path}: holds no {what} (no *.parquet in it)")
    return files


def _parquet(files: Sequence[Path], same_columns: bool = False) -> str:
    """A FROM clause over Parquet files; ``same_columns`` spares reading all footers twice."""
    listed = ", ".join(map(_quoted, files))
    # A folder called `key=value` by Hydra is not a partition.
    return (
        f"read_parquet([{listed}], union_by_name = {not same_columns}, hive_partitioning = false)"
    )


def _count_sql(files: Sequence[Path]) -> str:
    return f"SELECT count(*) FROM {_parquet(files, same_columns=True) if files else 'source'}"


def _quoted(path: Path) -> str:
    """A path as an SQL literal, with what DuckDB would expand as a wildcard taken literally."""
    escaped = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))
    return "'" + escaped.replace("'", "''") + "'"


def _check_types(types: dict[str, str], strategy: Strategy, name: str) -> None:
    for column in ("TARGETID", *UTILITIES[strategy].columns):
        if column not in types:
            raise InputError(
                f"{name}: has no column {column}, which query.strategy={strategy.value} needs"
            )
    for column in INTEGERS:
        if column in types and "INT" not in types[column]:
            raise InputError(f"{name}: column {column} is {types[column]} instead of an integer")


def _compared_sql(types: dict[str, str], strategy: Strategy, sidecar: bool) -> str:
    def known(column: str, otherwise: str = "NULL") -> str:
        return f"s.{column}" if column in types else otherwise

    def number(column: str) -> str:
        exact = f"s.{column}::DOUBLE"
        # A share of votes such as 67/200 is not a float32; seven decimals give it back, so that
        # Parquet and CSV of the same votes rank alike.
        if column in VOTES and types[column] == "FLOAT":
            exact = f"round({exact}, 7)"
        return f"CASE WHEN isnan({exact}) THEN NULL ELSE {exact} END AS {column}"

    utility = UTILITIES[strategy]
    needed = " AND ".join(f"{column} IS NOT NULL" for column in utility.columns)
    # Not a negative TARGETID (a sky fibre's) nor sky by its OBJTYPE.
    science = f"s.TARGETID >= 0 AND coalesce({known('OBJTYPE')}::VARCHAR, '') <> 'SKY'"
    join = "LEFT JOIN sidecar b ON s.FILE = b.FILE AND s.ROW = b.ROW" if sidecar else ""
    return f"""
        CREATE TEMP TABLE compared AS
        SELECT * EXCLUDE ({", ".join(utility.columns)}, usable, utility),
            CASE WHEN usable THEN utility END AS utility,
            usable AND utility IS NOT NULL AS answered
        FROM (
            SELECT *, CASE WHEN {needed} THEN round({utility.sql}, 12) END AS utility
            FROM (
                SELECT s.TARGETID AS target, {known("EXPID")} AS expid,
                    {known("FILE", "NULL::VARCHAR")} AS file, {known("ROW")} AS row,
                    s.source_part, s.source_row,
                    {known("TILEID")} AS tile, {known("CAMERAS")} AS cameras,
                    {"b.BMU" if sidecar else known("BMU")} AS bmu,
                    {"b.BMU_DISTANCE" if sidecar else known("BMU_DISTANCE")} AS bmu_distance,
                    {"b.BMU_OUTLIER" if sidecar else known("BMU_OUTLIER")} AS bmu_outlier,
                    coalesce({known("STATUS", "'ok'")}::VARCHAR, '') = 'ok' AS usable,
                    {science} AS science,
                    {", ".join(map(number, utility.columns))}
                FROM source s {join}
            )
        )"""


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
