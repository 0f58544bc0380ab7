"""Select the targets most worth inspecting from a table of scores.

The steps are those of the query notebook of the QuasarNET active-learning project, with two
differences: ties are broken by a fixed rule, and empty SOM cells count. See docs/formats.md.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.query import control
from qnal.query.funnel import Funnel
from qnal.query.options import QueryOptions
from qnal.query.pool_distribution import pool_distribution
from qnal.query.reason import reasons
from qnal.query.score_table import ScoreTable, open_scores
from qnal.query.selection import Selection
from qnal.query.spectra_sql import BMU_COLUMNS
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.strategy import Strategy
from qnal.query.ties import tie_break, ties_can_wait

LAST_COLUMNS = ("CELL_SPECTRA", "STRATEGY", "CONTROL", "REASON")
OWN_REASON = "OWN_REASON"  # what the strategy itself says of a target; becomes part of REASON


def select(
    scores: Path | pa.Table,
    options: QueryOptions,
    bmu: Path | None = None,
    cells: int | None = None,
    prototypes: NDArray[np.floating] | None = None,
    members: int | None = None,
) -> Selection:
    """Select the targets with the highest utility, and control picks.

    Args:
        scores: folder of Parquet parts, one Parquet or CSV file (columns: docs/formats.md), or a
            table in memory. Filters whose columns are missing are skipped and noted.
        options: what to select.
        bmu: folder of Parquet parts with FILE, ROW, BMU, BMU_DISTANCE and BMU_OUTLIER; takes
            precedence over such columns in ``scores``.
        cells: number of cells of the SOM.
        prototypes: its weights, shape [cells, npix], which some strategies need.
        members: number of members of the ensemble, for the reasons of the picks.

    Raises:
        ConfigError: ``options`` need ``cells``, or ``memory_limit`` or ``temp_dir`` is unusable.
        InputError: the scores or lists cannot be read, or no spectrum with a utility above 0 is
            left.
    """
    filters = options.filters(cells)
    columns = {column for step in filters for column in (*step.columns, *step.also)}
    with open_scores(
        scores,
        bmu,
        options.strategy,
        columns,
        options.temp_dir,
        options.memory_limit,
        options.seed,
        prototypes,
        cells,
        ties_can_wait(options.strategy, filters),
    ) as table:
        strategy = table.strategy
        _check_utility(table, strategy)
        funnel = Funnel(table, strategy)
        if isinstance(strategy, Mixture):
            funnel.candidates.notes += strategy.notes
        funnel.apply_all(filters)
        population = None
        if options.control:
            population = control.draw_control(table, filters, options.control, options.seed)
            funnel.drop_control()
        funnel.select(options.n, strategy, np.random.default_rng(options.seed))
        if population is not None:
            _add_control(funnel)
        return Selection(
            table=_with_reasons(
                _selected_rows(table, funnel.candidates.rows, strategy),
                strategy,
                members,
                population,
            ),
            strategy=strategy,
            funnel=funnel.counts,
            histogram=funnel.histogram,
            notes=funnel.candidates.notes,
            control_population=population,
            seed=options.seed,
            pool=pool_distribution(table) if options.distributions else None,
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
    first = candidates.table.value("SELECT max(rank) FROM selected")
    candidates.store(
        f"""
        SELECT *, false AS control FROM selected UNION ALL BY NAME
        SELECT *, {first} + dense_rank() OVER (ORDER BY TARGETID) AS rank, true AS control,
            'control' AS strategy
        FROM {control.TABLE}""",
        "selected_and_control",
    )
    last = int(candidates.table.value("SELECT max(rank) FROM selected_and_control") or 0)
    funnel.counts.append(("selected, with control picks", last))


def _with_reasons(
    selected: pa.Table, strategy: Strategy, members: int | None, population: int | None
) -> pa.Table:
    """The selection with REASON as its last column."""
    # The utility of a mixture is that of its first strategy.
    first = strategy.parts[0][0] if isinstance(strategy, Mixture) else strategy
    why = reasons(selected, {first.name: first.label}, members, population)
    if OWN_REASON in selected.column_names:
        own = selected[OWN_REASON].to_pylist()
        why = [
            f"{extra}; {words}" if extra else words for words, extra in zip(why, own, strict=True)
        ]
        selected = selected.drop_columns([OWN_REASON])
    return selected.append_column("REASON", pa.array(why, pa.string()))


def _selected_rows(table: ScoreTable, rows: str, strategy: Strategy) -> pa.Table:
    """RANK, UTILITY and N_TILES of the selected spectra, all columns of the scores, then
    CELL_SPECTRA, STRATEGY and CONTROL, and what the strategy itself says of each target.
    """
    bmu_types = BMU_COLUMNS if table.has_sidecar else {}
    columns = ["selected.rank::INTEGER AS RANK", "selected.utility AS UTILITY", "N_TILES"]
    columns += [
        f'source."{column}"'
        for column in table.columns
        if column not in {"RANK", "UTILITY", "N_TILES", *LAST_COLUMNS, *bmu_types}
    ]
    columns += [f"selected.{column}::{kind} AS {column}" for column, kind in bmu_types.items()]
    columns.append(f"{'cells.number' if table.has_bmu else 'NULL'}::BIGINT AS CELL_SPECTRA")
    columns.append("selected.strategy AS STRATEGY")
    columns.append(f"{'selected.control' if rows != 'selected' else 'false'} AS CONTROL")
    source = table.source_of(rows)
    reason = strategy.reason()
    if reason is not None:
        is_pick = "selected.strategy <> 'control'"
        columns.append(f"CASE WHEN {is_pick} THEN source.{OWN_REASON} END AS {OWN_REASON}")
        source = f"SELECT *, {reason} AS {OWN_REASON} FROM ({source})"
    tiles = "count(DISTINCT TILEID)" if "TILEID" in table.columns else "NULL"
    cells = ""
    if table.has_bmu:
        cells = (
            "LEFT JOIN (SELECT BMU, count(*) AS number FROM spectra WHERE BMU >= 0 GROUP BY BMU) "
            "cells ON cells.BMU = selected.BMU"
        )
    return table.connection.sql(
        f"""
        SELECT {", ".join(columns)}
        FROM {rows} selected
        JOIN ({source}) source USING ({", ".join(table.key)})
        JOIN (
            SELECT TARGETID, {tiles}::INTEGER AS N_TILES FROM spectra
            WHERE TARGETID IN (SELECT TARGETID FROM {rows}) GROUP BY TARGETID
        ) tiles ON tiles.TARGETID = selected.TARGETID
        {cells}
        QUALIFY row_number() OVER (PARTITION BY selected.rank ORDER BY {tie_break(table)}) = 1
        ORDER BY selected.rank"""
    ).to_arrow_table()
