"""Vote entropy: how much the members' votes differ."""

from qnal.query.strategies.class_shares import HIGHEST_ENTROPY, VOTES, entropy
from qnal.query.strategies.strategy import Strategy


class VoteEntropy(Strategy):
    """Entropy of the members' votes, the strategy of the QuasarNET active-learning notebook.

    Source: Dagan & Engelson 1995; Settles 2009, *Active Learning Literature Survey*, sec. 3.2.
    """

    name = "vote_entropy"
    columns = VOTES
    highest = HIGHEST_ENTROPY
    label = "vote entropy [nat]"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return entropy(VOTES)
