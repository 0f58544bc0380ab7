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
    """Count the spectra of a pool, in one scan of the scores."""
    arms = arms_of([*table.columns])
    arm = arms[len(arms) // 2] if arms else ""
    known: dict[str, list[str]] = {}
    if table.has("Z"):
        known["z"] = [_bin("Z", REDSHIFTS)]
    if table.has(f"{SNR}{arm}"):
        known["snr"] = [_bin(f"{SNR}{arm}", SIGNAL_TO_NOISE)]
    if all(map(table.has, VOTES)):
        known["votes"] = [
            f"CASE WHEN C_NOT IS NOT NULL THEN round({c}::DOUBLE * {VOTE_BINS}) / {VOTE_BINS} END"
            for c in VOTES[1:]
        ]
    counts = {name: _counts(rows) for name, rows in _grouped(table, known).items()}
    cells = None
    if table.has_bmu and table.cells:
        found = table.connection.execute(
            "SELECT BMU, count(*) FROM spectra WHERE BMU >= 0 GROUP BY BMU"
        ).fetchall()
        cells = _filled(_counts(found), table.cells)
    return PoolDistribution(
        redshifts=_filled(counts["z"], len(REDSHIFTS) - 1) if "z" in counts else None,
        signal_to_noise=(
            _filled(counts["snr"], len(SIGNAL_TO_NOISE) - 1) if "snr" in counts else None
        ),
        votes=counts.get("votes"),
        cells=cells,
        arm=arm,
    )


def binned(values: NDArray[np.floating], edges: NDArray[np.floating]) -> NDArray[np.int64]:
    """Number of values per bin, without NaN; values outside are in the end bins."""
    known = values[~np.isnan(values)]
    bins = np.clip(np.searchsorted(edges, known, "right") - 1, 0, len(edges) - 2)
    return np.bincount(bins, minlength=len(edges) - 1)


def _bin(column: str, edges: NDArray[np.floating]) -> str:
    """SQL expression of the number of a column's bin; null where the column is unknown."""
    if edges[0] == 0:
        place = f"{column} / {edges[1]!s}"
    else:
        step = np.log(edges[1] / edges[0])
        place = f"ln(greatest({column}, 1e-9)) / {step!s} - {np.log(edges[0]) / step!s}"
    number = f"greatest(0, least({len(edges) - 2}, floor({place})))"
    return f"CASE WHEN {column} IS NOT NULL AND isfinite({column}) THEN {number} END"


def _grouped(table: ScoreTable, known: dict[str, list[str]]) -> dict[str, list[tuple[float, ...]]]:
    """Per group of expressions, its values in the pool and the number of spectra."""
    if not known:
        return {}
    names = {name: [f"{name}_{k}" for k in range(len(of))] for name, of in known.items()}
    every = [column for columns in names.values() for column in columns]
    terms = [
        f"{term} AS {names[name][k]}" for name, of in known.items() for k, term in enumerate(of)
    ]
    sets = ", ".join(f"({', '.join(columns)})" for columns in names.values())
    first = ", ".join(f"grouping({columns[0]})" for columns in names.values())
    found = table.connection.execute(
        f"SELECT {', '.join(every)}, count(*), {first} "
        f"FROM (SELECT {', '.join(terms)} FROM source) "
        f"GROUP BY GROUPING SETS ({sets}) ORDER BY ALL"
    ).fetchall()
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for row in found:
        for k, (name, columns) in enumerate(names.items()):
            values = [row[every.index(column)] for column in columns]
            if row[len(every) + 1 + k] == 0 and None not in values:  # 0: grouped by this column
                rows[name].append((*values, row[len(every)]))
    return rows


def _counts(rows: list[tuple[float, ...]]) -> NDArray[np.float64]:
    """Values and number of spectra, float64 [values, columns + 1]."""
    return np.array(rows, np.float64).reshape(len(rows), -1) if rows else np.empty((0, 3))


def _filled(counts: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The number of spectra of each bin, int64 [bins]."""
    filled = np.zeros(bins, np.int64)
    filled[counts[:, 0].astype(int)] = counts[:, 1].astype(int)
    return filled
