"""Select the targets most worth inspecting from a table of scores.

The steps are those of the query notebook of the QuasarNET active-learning project, with two
differences: ties are broken by a fixed rule, and empty SOM cells count. See docs/formats.md.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from qnal.errors import InputError
from qnal.query import control
from qnal.query.funnel import Funnel
from qnal.query.options import QueryOptions
from qnal.query.score_table import ScoreTable, open_scores
from qnal.query.selection import Selection
from qnal.query.strategies.strategy import Strategy

BMU_TYPES = {"BMU": "INTEGER", "BMU_DISTANCE": "FLOAT", "BMU_OUTLIER": "FLOAT"}


def select(
    scores: Path | pa.Table,
    options: QueryOptions,
    bmu: Path | None = None,
    cells: int | None = None,
) -> Selection:
    """Select the targets with the highest utility, and control picks.

    Args:
        scores: folder of Parquet parts, one Parquet or CSV file (columns: docs/formats.md), or a
            table in memory. Filters whose columns are missing are skipped and noted.
        options: what to select.
        bmu: folder of Parquet parts with FILE, ROW, BMU, BMU_DISTANCE and BMU_OUTLIER; takes
            precedence over such columns in ``scores``.
        cells: number of cells of the SOM.

    Raises:
        ConfigError: ``options`` need ``cells``, or ``memory_limit`` or ``temp_dir`` is unusable.
        InputError: the scores or lists cannot be read, or no spectrum with a utility above 0 is
            left.
    """
    filters = options.filters(cells)
    columns = {column for step in filters for column in step.columns}
    with open_scores(
        scores, bmu, options.strategy, columns, options.temp_dir, options.memory_limit, options.seed
    ) as table:
        _check_utility(table, options.strategy)
        funnel = Funnel(table, options.strategy)
        funnel.apply_all(filters)
        population = None
        if options.control:
            population = control.draw_control(table, filters, options.control, options.seed)
            funnel.drop_control()
        funnel.select(options.n, options.strategy, np.random.default_rng(options.seed))
        if population is not None:
            _add_control(funnel)
        return Selection(
            table=_selected_rows(table, funnel.candidates.rows, options.strategy),
            strategy=options.strategy,
            funnel=funnel.counts,
            histogram=funnel.histogram,
            notes=funnel.candidates.notes,
            control_population=population,
        )


def _check_utility(table: ScoreTable, strategy: Strategy) -> None:
    highest = table.value("SELECT max(utility) FROM spectra")
    if highest is None:
        raise InputError(
            f"{strategy.name} is unknown for all {table.rows} spectra; score them with stage=infer."
        )
    if highest <= 0:
        raise InputError(
            f"{strategy.name} is 0 for every spectrum, so any ranking would be arbitrary; use more "
            "members or another strategy, such as query=entropy."
        )


def _add_control(funnel: Funnel) -> None:
    """Add the control picks to the selection, after the others."""
    candidates = funnel.candidates
    first = candidates.count()
    candidates.store(
        f"""
        SELECT *, false AS control FROM selected UNION ALL BY NAME
        SELECT *, {first} + row_number() OVER (ORDER BY TARGETID) AS rank, true AS control
        FROM {control.TABLE}""",
        "selected_and_control",
    )
    funnel.counts.append(("selected, with control picks", candidates.count()))


def _selected_rows(table: ScoreTable, rows: str, strategy: Strategy) -> pa.Table:
    """RANK, UTILITY, N_TILES, REASON if the strategy gives one, all columns of the scores, CONTROL.

    Control picks have no REASON.
    """
    bmu_types = BMU_TYPES if table.has_sidecar else {}
    columns = ["selected.rank::INTEGER AS RANK", "selected.utility AS UTILITY", "N_TILES"]
    reason = strategy.reason()
    is_control = "selected.control" if rows != "selected" else "false"
    if reason is not None:
        columns.append(f"CASE WHEN NOT {is_control} THEN source.REASON END AS REASON")
    columns += [
        f'source."{column}"'
        for column in table.columns
        if column not in {"RANK", "UTILITY", "N_TILES", "REASON", "CONTROL", *bmu_types}
    ]
    columns += [f"selected.{column}::{kind} AS {column}" for column, kind in bmu_types.items()]
    columns.append(f"{is_control} AS CONTROL")
    source = table.source_of(rows)
    if reason is not None:
        old = "* EXCLUDE (REASON)" if "REASON" in table.columns else "*"
        source = f"SELECT {old}, {reason} AS REASON FROM ({source})"
    tiles = "count(DISTINCT TILEID)" if "TILEID" in table.columns else "NULL"
    return table.connection.sql(
        f"""
        SELECT {", ".join(columns)}
        FROM {rows} selected
        JOIN ({source}) source USING (source_part, source_row)
        JOIN (
            SELECT TARGETID, {tiles}::INTEGER AS N_TILES FROM spectra
            WHERE TARGETID IN (SELECT TARGETID FROM {rows}) GROUP BY TARGETID
        ) tiles ON tiles.TARGETID = selected.TARGETID
        ORDER BY selected.rank"""
    ).to_arrow_table()
