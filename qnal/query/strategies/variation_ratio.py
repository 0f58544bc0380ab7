"""Variation ratio: how many members do not vote with the majority."""

from qnal.query.strategies.class_shares import CLASSES, VOTES, largest
from qnal.query.strategies.strategy import Strategy


class VariationRatio(Strategy):
    """One minus the largest share of votes.

    Source: Freeman 1965, *Elementary Applied Statistics*; Beluch et al. 2018, sec. 3.2.
    """

    name = "variation_ratio"
    columns = VOTES
    highest = 1 - 1 / CLASSES
    label = "variation ratio"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return f"1.0 - {largest(VOTES)}"
