"""Cell statistics: the distribution over a SOM's cells of the spectra that it was fitted on."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MAD_TO_SIGMA = 1.4826
# Weight of the whole sample in the statistics of a cell, as a number of spectra. Centres differ
# between cells by more than the scatter within a cell, so the cell's own spectra dominate; spreads
# differ less and need more spectra to be determined.
CENTRE_PRIOR, SPREAD_PRIOR = 1, 10


@dataclass(frozen=True, eq=False)
class CellStatistics:
    """Statistics of a sample of spectra on a SOM.

    Attributes:
        count: number of spectra per cell, int64 [cells].
        centre: centre of ln(1 + distance from the BMU) in each cell, float64 [cells].
        spread: robust standard deviation of the same, float64 [cells].
        quantization_error: mean distance of the spectra from their BMUs.
        topographic_error: fraction of the spectra whose two closest cells are not adjacent.
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
        """Compute the statistics from BMUs, int32 [n], and distances from them, float32 [n].

        The centre of a cell is the median over its spectra, the spread 1.4826 times their median
        absolute deviation from the centre. Both are weighted means with the value for all spectra,
        because cells with few spectra determine them badly. Logarithms are used because distances
        within a cell are nearly log-normal, and 1 + distance because a distance can be 0.
        """
        usable = bmu >= 0
        bmu, distance = bmu[usable], distance[usable]
        log = np.log1p(distance.astype(np.float64))
        count = np.bincount(bmu, minlength=cells)
        centre = _shrunk_medians(log, bmu, count, CENTRE_PRIOR)
        spread = _shrunk_medians(np.abs(log - centre[bmu]), bmu, count, SPREAD_PRIOR)
        mean = float(distance.mean(dtype=np.float64)) if len(distance) else float("nan")
        return cls(count, centre, MAD_TO_SIGMA * spread, mean, topographic_error)

    def metrics(self) -> dict[str, float | int]:
        """How well the SOM represents the sample, under the names of ``summary.json``."""
        return {
            "som_spectra": int(self.count.sum()),
            "som_empty_cells": int((self.count == 0).sum()),
            "quantization_error": self.quantization_error,
            "topographic_error": self.topographic_error,
        }

    @property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the statistics."""
        digest = hashlib.sha256()
        errors = np.array([self.quantization_error, self.topographic_error])
        for array in (self.count, self.centre, self.spread, errors):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def outlier_score(
        self, bmu: NDArray[np.int32], distance: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Distances from the BMU relative to the cell's centre, in units of its spread.

        Args:
            bmu: BMUs, int32 [n]; −1 for none.
            distance: distances from them, float32 [n].

        Returns:
            Robust standard deviations of ln(1 + distance), float32 [n]: about 0 for a common
            spectrum, above 5 for an outlier; NaN without a BMU or where the spread is 0.
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
    """Median per cell, shape [cells], averaged with the overall median of weight ``prior``."""
    if not len(values):
        return np.zeros(len(count))
    median = pd.Series(values).groupby(cell).median().reindex(range(len(count)), fill_value=0.0)
    return np.asarray((count * median.to_numpy() + prior * np.median(values)) / (count + prior))
