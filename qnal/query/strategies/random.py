"""Random targets: the baseline of all other strategies."""

from qnal.query.strategies.strategy import RANDOM, Strategy


class Random(Strategy):
    """Each target with the same probability, however many spectra it has.

    Source: Settles 2009, *Active Learning Literature Survey*, sec. 1: passive learning, to which
    every other strategy is compared.
    """

    name = "random"
    columns = (RANDOM,)
    highest = 1.0
    label = "random number"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return RANDOM
