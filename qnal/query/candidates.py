"""The spectra that are left at a step of a query."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qnal.query.score_table import ScoreTable

# Highest utility first and unknown values last; ties are broken by position in the input.
ORDER = (
    "utility DESC, TARGETID, EXPID NULLS LAST, FILE NULLS LAST, ROW NULLS LAST, "
    "source_part, source_row"
)
# All spectra of each target that have its highest utility.
MOST_UNCERTAIN = "QUALIFY rank() OVER (PARTITION BY TARGETID ORDER BY utility DESC) = 1"


@dataclass
class Candidates:
    """The spectra that the filters applied so far have kept.

    Attributes:
        table: the scores.
        rows: SQL for the spectra left, to be used after FROM; the columns are those of ``spectra``
            (:class:`~qnal.query.score_table.ScoreTable`), or TARGETID and utility if ties between
            the spectra of a target are broken late.
        spectra: SQL for the spectra that were left before the filter that leaves one per target.
        notes: sentences about the query for the user.
    """

    table: ScoreTable
    rows: str = "spectra"
    spectra: str = "spectra"
    notes: list[str] = field(default_factory=list)

    def count(self, condition: str = "true") -> int:
        """Number of the spectra left that satisfy an SQL condition."""
        return int(self.table.value(f"SELECT count(*) FROM {self.rows} WHERE {condition}") or 0)

    def targetids(self, sql: str) -> NDArray[np.int64]:
        """The column TARGETID of a query's result, int64 [n], in its order."""
        found = self.table.connection.execute(f"SELECT TARGETID FROM ({sql})").fetchnumpy()
        return np.asarray(found["TARGETID"], np.int64)

    def histogram(self, highest: float, bins: int) -> NDArray[np.int64]:
        """Number of the spectra left per bin of utility, from 0 to ``highest``, int64 [bins]."""
        index = f"greatest(0, least({bins - 1}, floor(utility / {highest / bins!r})))::INTEGER"
        found = self.table.connection.execute(
            f"SELECT {index}, count(*) FROM {self.rows} GROUP BY 1"
        ).fetchall()
        counts = np.zeros(bins, np.int64)
        for place, count in found:
            counts[place] = count
        return counts

    def store(self, sql: str, name: str) -> None:
        """Replace the spectra left by the result of a query, stored as a temporary table."""
        self.table.connection.execute(f"CREATE TEMP TABLE {name} AS {sql}")
        self.rows = name
