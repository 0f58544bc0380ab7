"""One spectrum per target."""

from qnal.query.candidates import ORDER, Candidates
from qnal.query.filters.filter import Filter


class BestSpectrum(Filter):
    """Keep the spectrum of each target that has the highest utility."""

    name = "best row of each target"
    per_target = True

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`.

        With ties broken late, only TARGETID and utility are left, and the spectra of the selected
        targets are looked up once they are known.
        """
        if candidates.table.late:
            rows = candidates.rows
            return f"SELECT TARGETID, max(utility) AS utility FROM {rows} GROUP BY TARGETID"
        return (
            f"FROM {candidates.rows} "
            f"QUALIFY row_number() OVER (PARTITION BY TARGETID ORDER BY {ORDER}) = 1"
        )
