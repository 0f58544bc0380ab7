"""One spectrum per target, with the mean utility of all its spectra."""

from qnal.query.candidates import ORDER, Candidates
from qnal.query.filters.filter import Filter


class MeanUtility(Filter):
    """Rank targets by the mean utility of their spectra; the most uncertain spectrum is kept.

    A single bad exposure then does not make a target uncertain.
    """

    name = "mean over each target"
    per_target = True

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        # Rounded as all utilities, because the order of a sum decides about its last bits.
        mean = "round(avg(utility) OVER (PARTITION BY TARGETID), 12) AS utility"
        return (
            f"SELECT * REPLACE ({mean}) FROM {candidates.rows} "
            f"QUALIFY row_number() OVER (PARTITION BY TARGETID ORDER BY {ORDER}) = 1"
        )
