"""Redshift spread: how much the members that vote quasar differ about the redshift."""

from qnal.query.strategies.strategy import Strategy


class RedshiftSpread(Strategy):
    """Robust scatter of Δz/(1+z) over the members that vote quasar (column Z_SPREAD), at most 1.

    It is 0 where no member votes quasar.

    Source: query by committee for regression; Burbidge et al. 2007, *Active Learning for
    Regression Based on Query by Committee*, with a median absolute deviation for the variance.
    """

    name = "redshift_spread"
    columns = ("Z_SPREAD", "C_QSO_LZ", "C_QSO_HZ")
    highest = 1.0
    label = "redshift spread, Δz / (1 + z)"

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return "CASE WHEN C_QSO_LZ + C_QSO_HZ > 0 THEN least(Z_SPREAD, 1.0) ELSE 0.0 END"
