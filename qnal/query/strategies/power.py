"""Stochastic batches: targets drawn with a probability that grows with a measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError
from qnal.query.random_number import random_number
from qnal.query.strategies.named import named_strategy
from qnal.query.strategies.strategy import BatchStrategy

if TYPE_CHECKING:
    from qnal.query.candidates import Candidates


class Power(BatchStrategy):
    """Draw targets without replacement, with a probability proportional to a power of a measure.

    The targets with the highest β ln u + G are selected, where u is the measure and G a random
    number per target of the standard Gumbel distribution. So a batch does not consist of near
    copies of the most uncertain spectrum.

    Source: Kirsch et al. 2021, arXiv:2106.12059, *Stochastic Batch Acquisition*, eq. 5 (power
    acquisition); PowerBALD where the measure is mutual information.

    Args:
        measure: name of a strategy, the measure.
        beta: the exponent β ≥ 0.
    """

    name = "power"

    def __init__(self, measure: Any = "mutual_info", beta: float = 1.0) -> None:
        if not 0 <= beta < np.inf:
            raise ConfigError(f"beta={beta} cannot be used; it takes a number from 0 on")
        self.measure, self.beta = named_strategy(measure), float(beta)
        self.columns, self.needs = self.measure.columns, self.measure.needs
        self.highest, self.label = self.measure.highest, self.measure.label

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return self.measure.utility()

    def select(self, candidates: Candidates, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """See :meth:`BatchStrategy.select`."""
        draw = random_number(int(rng.integers(2**32)), self.name)
        # The largest double below 1, because the Gumbel number of 1 is infinite.
        gumbel = f"-ln(-ln(least({draw}, {np.nextafter(1, 0)!s})))"
        return candidates.targetids(
            f"FROM {candidates.rows} "
            f"ORDER BY {self.beta!r} * ln(utility) + {gumbel} DESC, TARGETID LIMIT {n}"
        )
