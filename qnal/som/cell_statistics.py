"""How the spectra that a map was fitted on lie on it: what is usual in each of its cells."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAD_TO_SIGMA = 1.4826
# Spectra of the whole sample that each cell is given besides its own. Cells differ in how far their
# spectra usually lie by more than those of a cell scatter, so one of its own says more about the
# centre than all others; spreads differ less, and take more spectra to be known.
CENTRE_PRIOR, SPREAD_PRIOR = 1, 10


@dataclass(frozen=True, eq=False)
class CellStatistics:
    """Numbers of a sample of spectra on a map, frozen with it.

    Attributes:
        count: spectra in each cell, int64 [cells].
        centre: usual logarithm ln(1 + distance) of a cell's spectra from it, float64 [cells].
        spread: robust standard deviation of the same, float64 [cells].
        quantization_error: mean distance of the spectra from their best cells.
        topographic_error: share of them whose best two cells do not touch.
    """

    count: NDArray[np.int64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    quantization_error: float
    topographic_error: float

    @classmethod
    def of(
        cls,
        bmu: NDArray[np.int32],
        distance: NDArray[np.float32],
        cells: int,
        topographic_error: float,
    ) -> "CellStatistics":
        """From the best cells of spectra, int32 [n], and their distances, float32 [n].

        A cell's centre is the median of its spectra, its spread 1.4826 times their median
        deviation from the centre, each averaged with that of all spectra: a cell of few members
        says little, one of none says nothing. Logarithms, because the distances in a cell are
        nearly log-normal; of 1 + distance, because one of 0 is possible.
        """
        usable = bmu >= 0
        bmu, distance = bmu[usable], distance[usable]
        log = np.log1p(distance.astype(np.float64))
        count = np.bincount(bmu, minlength=cells)
        centre = _shrunk_medians(log, bmu, count, CENTRE_PRIOR)
        spread = _shrunk_medians(np.abs(log - centre[bmu]), bmu, count, SPREAD_PRIOR)
        mean = float(distance.mean(dtype=np.float64)) if len(distance) else float("nan")
        return cls(count, centre, MAD_TO_SIGMA * spread, mean, topographic_error)

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the numbers."""
        digest = hashlib.sha256()
        errors = np.array([self.quantization_error, self.topographic_error])
        for array in (self.count, self.centre, self.spread, errors):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def outlier_score(
        self, bmu: NDArray[np.int32], distance: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How much farther than is usual for its cell each spectrum lies from it.

        Args:
            bmu: best cells, int32 [n]; −1 for none.
            distance: from them, float32 [n].

        Returns:
            Robust standard deviations of ln(1 + distance), float32 [n]: about 0 for a common
            spectrum, above 5 for a strange one; NaN without a best cell, or where all spectra of
            the sample were equally far.
        """
        score = np.full(len(bmu), np.nan)
        usable = (bmu >= 0) & (self.spread[bmu] > 0)
        cell = bmu[usable]
        log = np.log1p(distance[usable].astype(np.float64))
        score[usable] = (log - self.centre[cell]) / self.spread[cell]
        return score.astype(np.float32)


def _shrunk_medians(
    values: NDArray[np.float64], cell: NDArray[np.int32], count: NDArray[np.int64], prior: int
) -> NDArray[np.float64]:
    """Median of the values of each cell, averaged with ``prior`` times that of all [cells]."""
    if not len(values):
        return np.zeros(len(count))
    ordered = np.append(values[np.lexsort((values, cell))], 0.0)
    start = np.cumsum(count) - count
    low, high = (np.minimum(start + k, len(values)) for k in ((count - 1) // 2, count // 2))
    median = (ordered[low] + ordered[high]) / 2
    return np.asarray((count * median + prior * np.median(values)) / (count + prior))
