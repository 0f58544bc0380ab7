"""Disagreement with Redrock, of which the ensemble is certain."""

from qnal.query.redrock_disagreement import COLUMNS, DESI_WIDTH, SMALL_DELTA_CHI2, Disagreement
from qnal.query.strategies.strategy import Strategy


class RedrockDisagreement(Strategy):
    """Certainty of the ensemble, ``|1 − 2 P_NOT|``, times the kind of disagreement with Redrock.

    It finds confident errors of either, which disagreement among the members cannot show. Spectra
    without results of Redrock are not selected.

    Args:
        width: difference in redshift, in units of 1+z, of which half counts as a disagreement.
        delta_chi2: Δχ² below which Redrock is not sure.
    """

    name = "redrock"
    columns = COLUMNS
    highest = 1.0
    label = "disagreement with Redrock"

    def __init__(self, width: float = DESI_WIDTH, delta_chi2: float = SMALL_DELTA_CHI2) -> None:
        self.disagreement = Disagreement(width, delta_chi2)

    def utility(self) -> str:
        """See :meth:`Strategy.utility`."""
        return self.disagreement.utility()

    def reason(self) -> str:
        """See :meth:`Strategy.reason`."""
        return self.disagreement.reason()
