"""Spectra that are unusually far from their BMU."""

from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter, SkipFilter


class SomOutliers(Filter):
    """Drop spectra whose outlier score (BMU_OUTLIER) is above a limit; null scores are kept.

    Args:
        highest: highest outlier score to keep, in robust standard deviations.
    """

    name = "no SOM outliers"
    interesting = True

    def __init__(self, highest: float = 5.0) -> None:
        self.highest = highest

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        if not candidates.table.value("SELECT count(BMU_OUTLIER) FROM spectra"):
            raise SkipFilter("the scores have no BMU_OUTLIER")
        condition = f"coalesce(BMU_OUTLIER <= {self.highest!r}, true)"
        return f"FROM {candidates.rows} WHERE {condition}"
