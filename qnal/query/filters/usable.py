"""Usable spectra."""

from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter


class Usable(Filter):
    """Keep spectra whose STATUS is ``ok`` and whose utility is known."""

    name = "usable"

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        return f"FROM {candidates.rows} WHERE utility IS NOT NULL"
