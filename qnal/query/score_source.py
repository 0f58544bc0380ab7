"""The files or tables that scores are read from, as SQL."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from qnal.errors import InputError

# Columns that must be integers. In a CSV they are read as such instead of being guessed from the
# first rows.
INTEGERS = ("TARGETID", "TILEID", "EXPID", "NIGHT", "HPXPIXEL", "ROW", "CAMERAS", "BMU")


def create_source(
    connection: duckdb.DuckDBPyConnection, scores: Path | pa.Table
) -> tuple[Path, ...]:
    """Create ``source``, the scores with ``source_part`` and ``source_row``.

    Returns:
        The Parquet files that it reads, which ``source_part`` indexes; none for other scores.

    Raises:
        InputError: there are no scores.
    """
    if isinstance(scores, pa.Table):
        connection.register("given", scores)
        rows = "SELECT * FROM given"
    elif scores.suffix == ".csv":
        rows = _csv_sql(connection, scores)
    else:
        files = parts(scores, "scores")
        connection.execute(
            "CREATE VIEW source AS "
            "SELECT *, file_index AS source_part, file_row_number AS source_row "
            f"FROM {parquet(files)}"
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
    header = columns_of(connection, f"read_csv({_quoted(path)}, all_varchar = true)")
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


def create_sidecar(
    connection: duckdb.DuckDBPyConnection, bmu: Path, types: dict[str, str], name: str
) -> None:
    """Create ``sidecar``: PLACE (hash of FILE), ROW and the BMU columns, from files of BMUs.

    Args:
        connection: where to create it.
        bmu: the files.
        types: columns of the scores.
        name: of the scores, for messages.

    Raises:
        InputError: a column by which BMUs are looked up is missing.
    """
    if missing := [column for column in ("FILE", "ROW") if column not in types]:
        raise InputError(
            f"{name}: has no column {' and '.join(missing)}, by which BMUs are looked up in {bmu}."
        )
    rows = parquet(parts(bmu, "BMUs"))
    present = columns_of(connection, rows)
    if missing := sorted({"FILE", "ROW", "BMU"} - present.keys()):
        raise InputError(f"{bmu}: has no column {', '.join(missing)}.")
    numbers = ", ".join(
        f"{column if column in present else 'NULL'}::FLOAT AS {column}"
        for column in ("BMU_DISTANCE", "BMU_OUTLIER")
    )
    # A hash of 64 bits takes less memory than the name. Two names with the same one would show as
    # several BMUs for one spectrum.
    connection.execute(
        f"CREATE VIEW sidecar AS SELECT hash(FILE) AS PLACE, ROW, BMU, {numbers} FROM {rows}"
    )


def parts(path: Path, what: str) -> tuple[Path, ...]:
    """A Parquet file, or the parts below a folder in the order of their paths."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file or folder of {what}.")
    found = [path] if path.is_file() else path.rglob("*.parquet")
    # Names of files that are still being written begin with a dot.
    files = tuple(sorted(file for file in found if not file.name.startswith((".", "_"))))
    if not files:
        raise InputError(f"{path}: holds no {what} (no *.parquet in it).")
    return files


def parquet(files: Sequence[Path], same_columns: bool = False) -> str:
    """A FROM clause for Parquet files; with ``same_columns`` only one footer is read in advance."""
    listed = ", ".join(map(_quoted, files))
    # A folder name such as `key=value`, as Hydra's sweeps create, is not a partition.
    return (
        f"read_parquet([{listed}], union_by_name = {not same_columns}, hive_partitioning = false)"
    )


def columns_of(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[str, str]:
    """Names and types of the columns of a table."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {rows}").fetchall()
    return {row[0]: row[1] for row in described}


def _quoted(path: Path) -> str:
    """A path as an SQL string, without DuckDB's wildcards."""
    escaped = "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path))
    return "'" + escaped.replace("'", "''") + "'"
