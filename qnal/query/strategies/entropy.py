"""Entropy of the mean class probabilities."""

from qnal.query.strategies.class_shares import HIGHEST_ENTROPY
from qnal.query.strategies.strategy import Strategy


class Entropy(Strategy):
    """Entropy of the members' mean soft probabilities (column ENTROPY).

    Source: Settles 2009, *Active Learning Literature Survey*, sec. 3.1.
    """

    name = "entropy"
    columns = ("ENTROPY",)
    highest = HIGHEST_ENTROPY
    label = "entropy [nat]"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return "ENTROPY"
