"""Typical targets: one per region of the SOM, for a first batch without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qnal.query.strategies.strategy import BatchStrategy

if TYPE_CHECKING:
    from qnal.query.candidates import Candidates


class Typical(BatchStrategy):
    """The most typical target of each region of the SOM, the most populated regions first.

    A region is an occupied cell. Where there are more of them than targets to select, and the
    prototypes of the SOM are known, neighbouring cells are merged into as many regions as targets
    (k-means of the prototypes, weighted by the number of spectra). The most typical target of a
    region is the one nearest to its BMU in the region's fullest cell. Where there are fewer regions
    than targets, each gives its next ones in turn. No column of a network is used.

    Source: Hacohen et al. 2022, arXiv:2202.02794 (TypiClust); the SOM takes the place of its
    clustering, and the distance to the prototype that of the distance to the nearest neighbours.
    """

    name = "typical"
    columns = ("BMU_DISTANCE",)
    needs = ("BMU",)
    highest = 1.0
    label = "typicality, 1 / (1 + distance to the BMU)"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return "1.0 / (1.0 + BMU_DISTANCE)"

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """See :meth:`BatchStrategy.select`."""
        found = candidates.table.connection.execute(
            f"SELECT BMU, count(*) FROM {candidates.rows} WHERE BMU >= 0 GROUP BY BMU ORDER BY BMU"
        ).fetchall()
        if not found:
            return np.empty(0, np.int64)
        cell, count = np.array(found, np.int64).T
        region = self._regions(candidates, cell, count, n, rng)
        members = np.bincount(region, count)
        # Regions by their size, and within each the cells by theirs.
        of_cell = {
            "region": region,
            "members": members[region].astype(np.int64),
            "cell": cell,
            "occupancy": count,
        }
        cells = candidates.table.arrays(of_cell)
        return candidates.targetids(
            f"""
            SELECT TARGETID, members, region, row_number() OVER (
                PARTITION BY region ORDER BY occupancy DESC, cell, utility DESC, TARGETID
            ) AS round
            FROM {candidates.rows} JOIN {cells} ON BMU = cell
            ORDER BY round, members DESC, region LIMIT {n}"""
        )

    @staticmethod
    def _regions(
        candidates: Candidates,
        cell: NDArray[np.int64],
        count: NDArray[np.int64],
        n: int,
        rng: np.random.Generator,
    ) -> NDArray[np.int64]:
        """The region of each occupied cell."""
        prototypes = candidates.table.prototypes
        if prototypes is None or n >= len(cell):
            return np.arange(len(cell))
        from sklearn.cluster import KMeans

        seed = int(rng.integers(2**31))
        found = KMeans(n, n_init=1, random_state=seed).fit_predict(
            prototypes[cell].astype(np.float64), sample_weight=count
        )
        return np.asarray(found, np.int64)
