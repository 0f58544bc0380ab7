"""Uncertainty herding: targets that together cover the uncertain spectra."""

from __future__ import annotations

import heapq
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.query.strategies.class_shares import PROBABILITIES
from qnal.query.strategies.named import named_strategy
from qnal.query.strategies.strategy import BatchStrategy

if TYPE_CHECKING:
    from qnal.query.candidates import Candidates

# Bins of the predictions, which take the place of SOM cells.
P_BIN, Z_BIN = 0.1, 0.05
SCALE = 1e9  # sums are over integers, so that they do not depend on the order of the rows


class Space(StrEnum):
    """Where spectra are near each other."""

    som = "som"  # prototypes of the SOM
    predictions = "predictions"  # class probabilities and ln(1 + z)


class Herding(BatchStrategy):
    """Greedily select targets that maximise the uncertainty coverage.

    The coverage of selected spectra S is Σ u(x) max_{s ∈ S} k(x, s) over all candidates x, with
    their uncertainty u and a Gaussian kernel k. So an uncertain spectrum with many similar ones is
    selected once rather than many times, and a lonely one late.

    Spectra are grouped by cell (of the SOM, or bins of the predictions), and the squared distance
    of two spectra is that of their cells' centres plus the mean squared distance of each cell's
    spectra from its centre, as for residuals without correlation. Within a cell the most uncertain
    spectrum is selected first. The cost does not depend on the number of spectra, apart from the
    sums per cell.

    Source: Bae et al. 2025, arXiv:2412.20644, eqs. 1–3; greedy selection by lazy evaluation
    (Minoux 1978), which gives the same result because the gain never grows.

    Args:
        measure: name of a strategy, the uncertainty u. ENTROPY is of calibrated probabilities.
        space: where spectra are near each other.
        width: standard deviation of the kernel; None is the median distance of two spectra of a
            cell.
    """

    name = "herding"

    def __init__(
        self, measure: Any = "entropy", space: str = "som", width: float | None = None
    ) -> None:
        if space not in list(Space):
            raise ConfigError(f"space={space} cannot be used; it takes {', '.join(Space)}")
        if width is not None and not 0 < width < np.inf:
            raise ConfigError(f"width={width} cannot be used; it takes a number above 0, or null")
        self.measure, self.space, self.width = named_strategy(measure), Space(space), width
        self.columns, self.highest = self.measure.columns, self.measure.highest
        self.label = self.measure.label
        own = ("BMU", "BMU_DISTANCE") if self.space is Space.som else (*PROBABILITIES, "Z")
        self.needs = (*self.measure.needs, *own)
        if self.space is Space.som:
            self.needs += ("prototypes of the SOM",)

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return self.measure.utility()

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """See :meth:`BatchStrategy.select`."""
        if self.space is Space.som:
            rows = f"(SELECT *, BMU AS cell, BMU_DISTANCE ** 2 AS spread FROM {candidates.rows})"
        else:
            bins = ", ".join(f"floor({p} / {P_BIN})::BIGINT" for p in PROBABILITIES)
            rows = (
                f"(SELECT *, hash_cell AS cell, 0.0 AS spread FROM (SELECT *, dense_rank() OVER "
                f"(ORDER BY {bins}, floor(ln(1 + Z) / {Z_BIN})) - 1 AS hash_cell "
                f"FROM {candidates.rows} WHERE Z IS NOT NULL))"
            )
        connection = candidates.table.connection
        centre = "" if self.space is Space.som else "".join(
            f", sum(({column} * {SCALE!r})::BIGINT) / ({SCALE!r} * count(*))"
            for column in (*PROBABILITIES, "ln(1 + Z)")
        )  # fmt: skip
        found = connection.execute(
            f"SELECT cell, sum((utility * {SCALE!r})::BIGINT) / {SCALE!r}, "
            f"sum((spread * 1e6)::BIGINT) / (1e6 * count(*)){centre} "
            f"FROM {rows} WHERE cell >= 0 GROUP BY cell ORDER BY cell"
        ).fetchnumpy()
        cell, weight, spread, *centres = (
            np.asarray(column, np.float64) for column in found.values()
        )
        if not len(cell):
            return np.empty(0, np.int64)
        prototypes = candidates.table.prototypes
        if self.space is Space.som and prototypes is not None:
            points = np.asarray(prototypes[cell.astype(int)], np.float64)
        else:
            points, spread = (
                np.stack(centres, axis=1),
                np.full(len(cell), (P_BIN**2 * 3 + Z_BIN**2) / 12),
            )
        best = connection.execute(
            f"SELECT cell, utility, TARGETID FROM {rows} WHERE cell >= 0 QUALIFY row_number() OVER "
            f"(PARTITION BY cell ORDER BY utility DESC, TARGETID) <= {n} "
            "ORDER BY cell, utility DESC, TARGETID"
        ).fetchnumpy()
        order = herd(
            _kernel(points, spread, self.width),
            weight,
            np.searchsorted(cell, np.asarray(best["cell"], np.float64)),
            np.asarray(best["utility"], np.float64),
            n,
        )
        return np.asarray(best["TARGETID"], np.int64)[order]


def _kernel(
    points: NDArray[np.float64], spread: NDArray[np.float64], width: float | None
) -> NDArray[np.float32]:
    """Similarity of two spectra of each pair of cells, float32 [cells, cells]."""
    norm = np.sum(points**2, axis=1)
    squared = norm[:, None] + norm - 2 * points @ points.T
    np.fill_diagonal(squared, 0)
    squared = np.maximum(squared, 0) + spread[:, None] + spread
    scale = 2 * np.median(spread) if width is None else width**2
    return np.exp(-squared / (2 * max(scale, 1e-12))).astype(np.float32)


def herd(
    kernel: NDArray[np.floating],
    weight: NDArray[np.floating],
    cell: NDArray[np.integer],
    utility: NDArray[np.floating],
    n: int,
) -> list[int]:
    """Indices of the selected spectra, in order, by greedy uncertainty coverage.

    Args:
        kernel: similarity of two different spectra of two cells, shape [cells, cells].
        weight: sum of the uncertainties of a cell's spectra, shape [cells].
        cell: cell of each spectrum, ascending, and within a cell the most uncertain first,
            shape [spectra].
        utility: uncertainty of each spectrum, shape [spectra].
        n: number of spectra to select.
    """
    first, end = (np.searchsorted(cell, np.arange(len(weight)), side) for side in ("left", "right"))
    following = first.copy()
    weight = weight.astype(np.float64)
    covered = np.zeros(len(weight))

    def gain(c: int) -> float:
        """Growth of the coverage by the next spectrum of a cell, which covers itself fully."""
        u = utility[following[c]]
        others = weight - np.where(np.arange(len(weight)) == c, u, 0.0)
        return float(others @ np.maximum(kernel[c] - covered, 0) + u * (1 - covered[c]))

    heap = [(-gain(c), c) for c in range(len(weight)) if following[c] < end[c]]
    heapq.heapify(heap)
    selected: list[int] = []
    while heap and len(selected) < n:
        _, c = heapq.heappop(heap)
        current = gain(c)
        if heap and (-current, c) > heap[0]:  # stale: another cell may gain more
            heapq.heappush(heap, (-current, c))
            continue
        selected.append(int(following[c]))
        weight[c] = max(weight[c] - utility[following[c]], 0.0)
        np.maximum(covered, kernel[c], out=covered)
        following[c] += 1
        if following[c] < end[c]:
            heapq.heappush(heap, (-gain(c), c))
    return selected
