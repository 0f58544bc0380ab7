"""Targets that are not on a list."""

import numpy as np
from numpy.typing import NDArray

from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter


class NotListed(Filter):
    """Drop the targets on a list.

    Args:
        targetids: the TARGETIDs, int64 [n].
        name: name of the step in the funnel.
        interesting: see :class:`Filter`.
    """

    whole_targets = True

    def __init__(
        self,
        targetids: NDArray[np.int64],
        name: str = "not on other lists",
        interesting: bool = False,
    ) -> None:
        self.targetids, self.name, self.interesting = targetids, name, interesting

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        listed = candidates.table.integers(self.targetids)
        return f"FROM {candidates.rows} WHERE TARGETID NOT IN (FROM {listed})"
