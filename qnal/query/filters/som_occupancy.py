"""Spectra in well-occupied SOM cells."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter, SkipFilter


class SomCounts(StrEnum):
    """The SOM cells over which the percentile of the occupancy is taken."""

    all = "all"  # all cells of the SOM
    notebook = "notebook"  # cells up to the largest occupied one, as numpy.bincount counts them


class SomOccupancy(Filter):
    """Drop spectra in rarely occupied SOM cells.

    Kept are spectra whose cell holds more spectra than a percentile of the cells do. All scored
    spectra count in their cells, including sky fibres and unusable ones.

    Args:
        percentile: percentile of the occupancies, 0 ≤ percentile < 100.
        counts: cells over which the percentile is taken.
        cells: number of cells of the SOM; None is that of the scores.
    """

    name = "common SOM cells"
    interesting = True

    def __init__(
        self, percentile: float = 15.0, counts: SomCounts = SomCounts.all, cells: int | None = None
    ) -> None:
        if not 0 <= percentile < 100:
            raise ConfigError(
                f"percentile={percentile} cannot be used; it takes a percentile from 0 "
                "up to, not including, 100"
            )
        if counts not in list(SomCounts):
            raise ConfigError(f"counts={counts} cannot be used; it takes {', '.join(SomCounts)}")
        self.percentile, self.counts, self.cells = percentile, counts, cells

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`.

        Raises:
            ConfigError: the number of cells is needed and not known.
            InputError: a BMU exceeds the number of cells.
            SkipFilter: no spectrum has a BMU.
        """
        table = candidates.table
        if not table.has_bmu:
            raise SkipFilter("the scores have no BMU")
        found = table.connection.execute(
            "SELECT BMU, count(*) FROM spectra WHERE BMU >= 0 GROUP BY BMU"
        ).fetchall()
        if not found:
            raise SkipFilter("no spectrum has a BMU")
        cell, count = np.array(found, np.int64).T
        common = self._common(cell, count, self.cells or table.cells)
        without = table.value(f"SELECT count(*) FROM {candidates.rows} WHERE BMU IS NULL")
        if without:
            candidates.notes.append(f"{without} spectra without a BMU were dropped.")
        return f"FROM {candidates.rows} WHERE BMU IN (FROM {table.integers(common)})"

    def _common(
        self, cell: NDArray[np.int64], count: NDArray[np.int64], cells: int | None
    ) -> NDArray[np.int64]:
        """The cells whose occupancy is above the percentile."""
        up_to_occupied = int(cell.max()) + 1
        if cells is not None and up_to_occupied > cells:
            raise InputError(f"BMU {up_to_occupied - 1} does not exist: the SOM has {cells} cells.")
        if self.counts == SomCounts.notebook:
            cells = up_to_occupied
        if cells is None:
            raise ConfigError(
                "the number of cells of the SOM is not known, which som_percentile needs; give "
                "cells, or som_counts=notebook to count the cells up to the largest occupied one."
            )
        occupancy = np.zeros(cells, np.int64)
        occupancy[cell] = count
        return np.flatnonzero(occupancy > np.percentile(occupancy, self.percentile))
