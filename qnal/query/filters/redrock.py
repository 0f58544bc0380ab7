"""Spectra on which the ensemble and Redrock disagree."""

from collections.abc import Collection

from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter
from qnal.query.redrock_disagreement import COLUMNS, Disagreement, Kind


class DisagreesWithRedrock(Filter):
    """Keep spectra with at least one of some kinds of disagreement with Redrock.

    Args:
        kinds: of disagreement.
        disagreement: its limits.
    """

    name = "disagreement with Redrock"
    columns = COLUMNS
    interesting = True

    def __init__(
        self, kinds: Collection[Kind] = tuple(Kind), disagreement: Disagreement | None = None
    ) -> None:
        self.kinds, self.disagreement = tuple(kinds), disagreement or Disagreement()

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        return f"FROM {candidates.rows} WHERE {self.disagreement.any_of(self.kinds)}"
