"""Which spectra to inspect next: the reference notebook's query, step by step.

FORMATS.md section 8, with its traps mended: ties have a rule, empty cells count.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from qnal.errors import ConfigError, InputError
from qnal.query.funnel import Funnel
from qnal.query.score_table import ScoreTable, opened
from qnal.query.selection import Selection, UtilityHistogram
from qnal.query.target_list import read_target_lists
from qnal.query.utility import UTILITIES, Strategy

BINS = 66

Mode = TypeVar("Mode", bound=StrEnum)


class SomCounts(StrEnum):
    """Which cells the percentile of occupations is taken over."""

    all = "all"  # all cells of the SOM
    notebook = "notebook"  # those up to the largest occupied one, as bincount sees them


class CameraRule(StrEnum):
    """Which targets are dropped for dead cameras."""

    all = "all"  # those with a camera dead in all of their spectra
    any = "any"  # those with a camera dead in any of their spectra
    none = "none"


def select(
    scores: Path | pa.Table,
    *,
    n: int,
    bmu: Path | None = None,
    strategy: Strategy | str = Strategy.vote_entropy,
    som_percentile: float | None = 15.0,
    cells: int | None = None,
    som_counts: SomCounts | str = SomCounts.all,
    max_outlier: float | None = None,
    camera: CameraRule | str = CameraRule.all,
    exclude: Sequence[Path] = (),
    bad_camera_targetids: Sequence[Path] = (),
    keep_sky: bool = False,
    spill: Path | None = None,
    memory_limit: str = "4GB",
) -> Selection:
    """The ``n`` targets about which the ensemble is the least sure.

    Args:
        scores: folder of Parquet parts (FORMATS.md section 11), one Parquet or CSV file (section
            7), or a table in memory. Columns it lacks are unknown, and what they decide is
            skipped, with a note.
        n: how many targets.
        bmu: folder of Parquet parts FILE, ROW, BMU, BMU_DISTANCE, BMU_OUTLIER; goes before a
            column BMU.
        strategy: what to rank by.
        som_percentile: keep spectra whose cell of the map holds more than this percentile of the
            cells' occupations, counted over all spectra, sky and unanswered ones too; None
            keeps all.
        cells: how many cells the map has.
        som_counts: the cells the percentile is over.
        max_outlier: drop spectra whose outlier score is above this; None keeps all.
        camera: which dead cameras drop a target.
        exclude: lists of TARGETIDs not to select, as other campaigns inspect them.
        bad_camera_targetids: lists of TARGETIDs known from elsewhere to have a dead camera.
        keep_sky: whether sky fibres may be selected.
        spill: folder for intermediate results larger than ``memory_limit``.

    Raises:
        ConfigError: a value that cannot be used.
        InputError: scores or lists that cannot be used, no spectrum with a utility above 0, or no
            spectrum left.
    """
    strategy = _one_of(Strategy, strategy, "query.strategy")
    som_counts = _one_of(SomCounts, som_counts, "query.som_counts")
    camera = _one_of(CameraRule, camera, "query.camera")
    if n < 1:
        raise ConfigError(f"query.n must be at least 1, not {n}")
    if som_percentile is not None and not 0 <= som_percentile <= 100:
        raise ConfigError(f"query.som_percentile must be from 0 to 100, not {som_percentile}")
    bad_cameras = read_target_lists(bad_camera_targetids)
    others = read_target_lists(exclude)
    with opened(scores, bmu, strategy, spill, memory_limit) as table:
        funnel = Funnel(table)
        funnel.keep_answered()
        _check_any(table, strategy)
        if som_percentile is not None:
            funnel.keep_common_cells(
                som_percentile, cells, to_largest_occupied=som_counts is SomCounts.notebook
            )
        if max_outlier is not None:
            funnel.drop_outliers(max_outlier)
        if not keep_sky:
            funnel.keep_science()
        before = _histogram(table, strategy, funnel.current)
        funnel.keep_best_rows()
        after = _histogram(table, strategy, funnel.current)
        if camera is not CameraRule.none or bad_camera_targetids:
            columns = None if camera is CameraRule.none else camera.value
            funnel.drop_dead_cameras(columns, bad_cameras if bad_camera_targetids else None)
        if exclude:
            funnel.drop_listed(others)
        funnel.keep_first(n)
        edges = np.linspace(0, UTILITIES[strategy].highest, BINS + 1)
        return Selection(
            table=_selected_rows(table),
            strategy=strategy,
            funnel=[(step.value, count) for step, count in funnel.counts],
            histogram=UtilityHistogram(edges, before, after),
            notes=funnel.notes,
        )


def _one_of(modes: type[Mode], value: str, key: str) -> Mode:
    try:
        return modes(value)
    except ValueError:
        raise ConfigError(f"{key} must be one of {', '.join(modes)}, not {value}") from None


def _check_any(table: ScoreTable, strategy: Strategy) -> None:
    highest = table.value("SELECT max(utility) FROM compared WHERE answered")
    if highest is None:
        raise InputError(f"none of the {table.rows} spectra has an answer to be ranked by")
    if highest <= 0:
        raise InputError(
            f"no spectrum has any {strategy.value}, as when the ensemble has one member or all "
            "members agree: a ranking would be arbitrary"
        )


def _histogram(table: ScoreTable, strategy: Strategy, spectra: str) -> np.ndarray:
    width = UTILITIES[strategy].highest / BINS
    counts = np.zeros(BINS, np.int64)
    binned = f"greatest(0, least({BINS - 1}, floor(utility / {width!r})))::INTEGER"
    rows = table.connection.execute(f"SELECT {binned}, count(*) FROM {spectra} GROUP BY 1")
    for index, count in rows.fetchall():
        counts[index] = count
    return counts


def _selected_rows(table: ScoreTable) -> pa.Table:
    """RANK, UTILITY and N_TILES of the selected spectra, and all that is known of them."""
    cells = {"BMU": "INTEGER", "BMU_DISTANCE": "FLOAT", "BMU_OUTLIER": "FLOAT"}
    ours = {"RANK", "UTILITY", "N_TILES"} | (cells.keys() if table.has_sidecar else set())
    theirs = ", ".join(f'theirs."{column}"' for column in table.columns if column not in ours)
    cell = "".join(
        f", selected.{column.lower()}::{kind} AS {column}"
        for column, kind in cells.items()
        if table.has_sidecar
    )
    tiles = "count(DISTINCT tile)" if "TILEID" in table.columns else "NULL"
    return table.connection.sql(
        f"""
        SELECT selected.rank::INTEGER AS RANK, selected.utility AS UTILITY,
            t.tiles::INTEGER AS N_TILES,
            {theirs} {cell}
        FROM selected
        JOIN ({table.source_of("selected")}) theirs USING (source_part, source_row)
        JOIN (
            SELECT target, {tiles} AS tiles FROM compared
            WHERE target IN (SELECT target FROM selected) GROUP BY target
        ) t ON t.target = selected.target
        ORDER BY selected.rank"""
    ).to_arrow_table()
