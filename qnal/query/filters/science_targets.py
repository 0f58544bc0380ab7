"""Science targets."""

from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter


class ScienceTargets(Filter):
    """Drop sky fibres: spectra with a negative TARGETID or an OBJTYPE of ``SKY``."""

    name = "science targets"

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        return f"FROM {candidates.rows} WHERE science"
