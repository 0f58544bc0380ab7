"""Margin: how close the two most probable classes are."""

from qnal.query.strategies.class_shares import PROBABILITIES, largest, second_largest
from qnal.query.strategies.strategy import Strategy


class Margin(Strategy):
    """One minus the difference of the two largest mean soft probabilities.

    Source: Scheffer et al. 2001; Settles 2009, *Active Learning Literature Survey*, sec. 3.1.
    """

    name = "margin"
    columns = PROBABILITIES
    highest = 1.0
    label = "1 − margin"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return f"1.0 - ({largest(PROBABILITIES)} - {second_largest(PROBABILITIES)})"
