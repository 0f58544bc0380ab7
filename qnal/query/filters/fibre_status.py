"""Spectra of good fibres."""

from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter


class FibreStatus(Filter):
    """Drop spectra with COADD_FIBERSTATUS ≠ 0; spectra of unknown status are kept.

    ``prospect_pages`` drops such spectra unless it is called with ``--no_clean_fiberstatus``.
    """

    name = "good fibres"
    columns = ("COADD_FIBERSTATUS",)
    optional = False

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        return f"FROM {candidates.rows} WHERE coalesce(COADD_FIBERSTATUS, 0) = 0"
