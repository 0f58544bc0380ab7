"""Stratified random targets: the same number from each SOM cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qnal.query.strategies.strategy import RANDOM, BatchStrategy

if TYPE_CHECKING:
    from qnal.query.candidates import Candidates


class Stratified(BatchStrategy):
    """Random targets, equally many from each SOM cell as far as the cells have them.

    One target is drawn from every cell, then a second one, and so on; the cells of the last,
    incomplete round are drawn at random. Targets without a BMU are a cell of their own.

    Source: Cochran 1977, *Sampling Techniques*, ch. 5 (equal allocation).
    """

    name = "stratified"
    columns = (RANDOM,)
    needs = ("BMU",)
    highest = 1.0
    label = "random number"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return RANDOM

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """See :meth:`BatchStrategy.select`."""
        return candidates.targetids(
            "SELECT TARGETID, utility, row_number() OVER "
            "(PARTITION BY BMU ORDER BY utility DESC, TARGETID) AS round "
            f"FROM {candidates.rows} ORDER BY round, utility DESC, TARGETID LIMIT {n}"
        )
