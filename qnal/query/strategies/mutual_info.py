"""Mutual information of member and class (BALD)."""

from qnal.query.strategies.class_shares import HIGHEST_ENTROPY
from qnal.query.strategies.strategy import Strategy


class MutualInformation(Strategy):
    """Mutual information of member and class (column MUTUAL_INFO).

    It is high where the members disagree although each of them is certain.

    Source: Houlsby et al. 2011, arXiv:1112.5745 (BALD).
    """

    name = "mutual_info"
    columns = ("MUTUAL_INFO",)
    highest = HIGHEST_ENTROPY
    label = "mutual information [nat]"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return "MUTUAL_INFO"
