"""The table ``spectra`` of a query: one short row per spectrum, with its utility."""

from collections.abc import Collection, Iterable

from qnal.query.random_number import random_number
from qnal.query.strategies.class_shares import VOTES
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.strategy import RANDOM, Strategy

ANY = "*"  # at the end of a name: all columns that begin like it
BMU_COLUMNS = {"BMU": "INTEGER", "BMU_DISTANCE": "FLOAT", "BMU_OUTLIER": "FLOAT"}
PLACE = {"EXPID": "INTEGER", "FILE": "VARCHAR", "ROW": "INTEGER"}  # they break ties


def create_spectra(
    types: dict[str, str],
    strategy: Strategy,
    wanted: Collection[str],
    sidecar: bool,
    seed: int,
    single_file: bool,
    place: bool,
) -> list[str]:
    """The SQL statements that create ``spectra``.

    What is stored per spectrum decides about the memory that a query takes, so that constants
    are left to a view.

    Args:
        types: columns of the scores.
        strategy: the strategy that defines the utility.
        wanted: further columns, if the scores have them.
        sidecar: whether BMUs are in a table of their own.
        seed: seed of the column RANDOM.
        single_file: whether all scores are in one file.
        place: whether the columns :data:`PLACE` are wanted.
    """
    columns = parts_of(strategy, "columns")
    fixed = {"TARGETID": "BIGINT", **(PLACE if place else {}), "TILEID": "INTEGER", **BMU_COLUMNS}
    kept, constant = [], []
    for column, kind in fixed.items():
        if sidecar and column in BMU_COLUMNS:
            kept.append(f"b.{column} AS {column}")
        elif column in types:
            kept.append(f"s.{column} AS {column}")
        else:
            constant.append(f"NULL::{kind} AS {column}")
    needs = parts_of(strategy, "needs")
    wanted = [c for c in matching(types, sorted({*wanted, *needs})) if c not in fixed]
    kept += [f's."{c}"' for c in wanted if c not in columns]
    kept.append("s.source_row::UINTEGER AS source_row")
    if single_file:
        constant.append("0 AS source_part")
    else:
        kept.append("s.source_part::UINTEGER AS source_part")
    if "OBJTYPE" in types:
        kept.append("s.TARGETID >= 0 AND coalesce(s.OBJTYPE::VARCHAR, '') <> 'SKY' AS science")
    else:
        constant.append("TARGETID >= 0 AS science")
    status = "coalesce(s.STATUS::VARCHAR, '') = 'ok'" if "STATUS" in types else "true"
    numbers = [_number(c, types, seed, status) for c in columns if c not in fixed]
    unwanted = ["usable", *(c for c in columns if c not in (*fixed, *wanted))]
    utilities = {"utility": strategy}
    if isinstance(strategy, Mixture):
        utilities |= {f"utility_{i}": part for i, (part, _) in enumerate(strategy.parts)}
    # A projection of their own: DuckDB computes a repeated expression once, but not within CASE.
    raw = [f"{part.utility()} AS raw_{name}" for name, part in utilities.items()]
    unwanted += [f"raw_{name}" for name in utilities]
    known = [_where_known(part, f"raw_{name}", name) for name, part in utilities.items()]
    join = "LEFT JOIN sidecar b ON hash(s.FILE) = b.PLACE AND s.ROW = b.ROW" if sidecar else ""
    stored = f"""
        CREATE TEMP TABLE stored_spectra AS
        SELECT * EXCLUDE ({", ".join(unwanted)}), {", ".join(known)}
        FROM (SELECT *, {", ".join(raw)} FROM (
            SELECT {", ".join([*kept, f"{status} AS usable", *numbers])}
            FROM source s {join}
        ))"""
    view = ", ".join(["*", *constant])
    return [stored, f"CREATE TEMP VIEW spectra AS SELECT {view} FROM stored_spectra"]


def parts_of(strategy: Strategy, attribute: str) -> list[str]:
    """The columns or needs of a strategy, or of all strategies of a mixture, each once."""
    parts = [part for part, _ in strategy.parts] if isinstance(strategy, Mixture) else [strategy]
    return list(dict.fromkeys(name for part in parts for name in getattr(part, attribute)))


def matching(present: Collection[str], names: Iterable[str]) -> list[str]:
    """The columns that have one of the names, or begin as one that ends with :data:`ANY`.

    As in SQL, upper and lower case are the same.
    """
    found = (
        [c for c in present if c.startswith(name.removesuffix(ANY))]
        if name.endswith(ANY)
        else [name] * (name in present) or [c for c in present if c.lower() == name.lower()]
        for name in names
    )
    return list(dict.fromkeys(column for each in found for column in each))


def rounded(expression: str, decimals: int) -> str:
    """``round(expression, decimals)`` to the last bit, in a fifth of the time.

    DuckDB's function computes the power of ten anew for each number.
    """
    return f"(round(({expression}) * 1e{decimals}) / 1e{decimals})"


def _number(column: str, types: dict[str, str], seed: int, usable: str) -> str:
    """A column that a strategy computes the utility from; null for NaN and unusable spectra."""
    if column == RANDOM:
        return f"greatest({random_number(seed)}, 1e-12) AS {RANDOM}"
    if types[column] == "VARCHAR":
        return f's."{column}"'
    exact = f"s.{column}::DOUBLE"
    # A share of votes such as 67/200 is inexact in float32. Rounding to seven decimals
    # restores it, so that Parquet and CSV files of the same votes give the same ranking.
    if column in VOTES and types[column] == "FLOAT":
        exact = rounded(exact, 7)
    return f"CASE WHEN {usable} AND NOT isnan({exact}) THEN {exact} END AS {column}"


def _where_known(strategy: Strategy, utility: str, name: str) -> str:
    """A utility, null for unusable spectra and where a column is unknown."""
    known = ["usable", *(f"{column} IS NOT NULL" for column in strategy.columns)]
    return f"CASE WHEN {' AND '.join(known)} THEN {rounded(utility, 12)} END AS {name}"
