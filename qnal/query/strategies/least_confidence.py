"""Least confidence: how improbable the most probable class is."""

from qnal.query.strategies.class_shares import CLASSES, PROBABILITIES, largest
from qnal.query.strategies.strategy import Strategy


class LeastConfidence(Strategy):
    """One minus the largest mean soft probability.

    Source: Settles 2009, *Active Learning Literature Survey*, sec. 3.1.
    """

    name = "least_confidence"
    columns = PROBABILITIES
    highest = 1 - 1 / CLASSES
    label = "1 − largest probability"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return f"1.0 - {largest(PROBABILITIES)}"
