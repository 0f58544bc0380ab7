"""How redshifts, signal-to-noise ratios, votes and SOM cells are distributed over the pool."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.query.score_table import ScoreTable
from qnal.query.strategies.class_shares import VOTES
from qnal.spectra.target_table import SNR, arms_of

REDSHIFTS = np.linspace(0, 6, 61)
SIGNAL_TO_NOISE = np.geomspace(0.01, 100, 61)
VOTE_BINS = 120  # per side of the triangle; shares of 3, 4, 5, 6, 8, 10, … members are exact


@dataclass(frozen=True, eq=False)
class PoolDistribution:
    """Numbers of spectra of the pool; None where the scores lack the columns.

    Attributes:
        redshifts: per bin of ``REDSHIFTS``, int64 [bins]; values outside are in the end bins.
        signal_to_noise: per bin of ``SIGNAL_TO_NOISE``, in the middle arm, int64 [bins]; likewise.
        votes: C_QSO_LZ and C_QSO_HZ, rounded to 1 / VOTE_BINS, and the number of spectra,
            float64 [points, 3].
        cells: number of spectra per SOM cell, int64 [cells].
        arm: the middle one of the spectrograph's arms.
    """

    redshifts: NDArray[np.int64] | None
    signal_to_noise: NDArray[np.int64] | None
    votes: NDArray[np.float64] | None
    cells: NDArray[np.int64] | None
    arm: str = ""


def pool_distribution(table: ScoreTable) -> PoolDistribution:
    """Count the spectra of a pool."""
    votes = None
    if all(map(table.has, VOTES)):
        shares = [f"round({c}::DOUBLE * {VOTE_BINS}) / {VOTE_BINS}" for c in VOTES[1:]]
        votes = _rows(
            table,
            f"SELECT {', '.join(shares)}, count(*) FROM source WHERE C_NOT IS NOT NULL "
            "GROUP BY ALL ORDER BY ALL",
        )
    cells = None
    if table.has_bmu and table.cells:
        found = _rows(table, "SELECT BMU, count(*) FROM spectra WHERE BMU >= 0 GROUP BY BMU")
        cells = np.zeros(table.cells, np.int64)
        cells[found[:, 0].astype(int)] = found[:, 1].astype(int)
    arms = arms_of([*table.columns])
    arm = arms[len(arms) // 2] if arms else ""
    snr = _histogram(table, f"{SNR}{arm}", SIGNAL_TO_NOISE)
    return PoolDistribution(_histogram(table, "Z", REDSHIFTS), snr, votes, cells, arm)


def binned(values: NDArray[np.floating], edges: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number of values per bin, without NaN; values outside are in the end bins."""
    known = values[~np.isnan(values)]
    bins = np.clip(np.searchsorted(edges, known, "right") - 1, 0, len(edges) - 2)
    return np.bincount(bins, minlength=len(edges) - 1)


def _histogram(
    table: ScoreTable, column: str, edges: NDArray[np.floating]
) -> NDArray[np.int64] | None:
    if not table.has(column):
        return None
    bins = len(edges) - 1
    if edges[0] == 0:
        place = f"{column} / {edges[1]!s}"
    else:
        step = np.log(edges[1] / edges[0])
        place = f"ln(greatest({column}, 1e-9)) / {step!s} - {np.log(edges[0]) / step!s}"
    found = _rows(
        table,
        f"SELECT greatest(0, least({bins - 1}, floor({place}))), count(*) FROM source "
        f"WHERE {column} IS NOT NULL AND isfinite({column}) GROUP BY 1",
    )
    counts = np.zeros(bins, np.int64)
    counts[found[:, 0].astype(int)] = found[:, 1].astype(int)
    return counts


def _rows(table: ScoreTable, sql: str) -> NDArray[np.float64]:
    found = table.connection.execute(sql).fetchall()
    return np.array(found, np.float64).reshape(len(found), -1) if found else np.empty((0, 3))
