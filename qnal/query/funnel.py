"""The steps from all spectra to the selected targets, and how many each one leaves."""

from enum import StrEnum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.query.score_table import ScoreTable

ALL_CAMERAS = 7  # B 1, R 2, Z 4

# Best first; what is unknown comes last, and the place in the input decides what is left.
_ORDER = (
    "utility DESC, target, expid NULLS LAST, file NULLS LAST, row NULLS LAST, "
    "source_part, source_row"
)


class Step(StrEnum):
    """The steps, in order."""

    SCORED = "scored"
    ANSWERED = "answered"
    COMMON_CELLS = "common SOM cells"
    NO_OUTLIERS = "no outliers of their cells"
    SCIENCE = "science targets"
    BEST_ROWS = "best row of each target"
    CAMERAS = "all cameras alive"
    NOT_LISTED = "not on other lists"
    SELECTED = "selected"


class Funnel:
    """What is left of a table of scores, step by step.

    Attributes:
        counts: how many spectra (from ``BEST_ROWS`` on: targets) were left after each step taken.
        notes: what was skipped or stands out, a sentence each.
    """

    def __init__(self, table: ScoreTable) -> None:
        self.counts: list[tuple[Step, int]] = [(Step.SCORED, table.rows)]
        self.notes: list[str] = []
        self._table = table
        self._relation = "compared"
        self._conditions = ["true"]

    @property
    def current(self) -> str:
        """What is left, to be put after FROM."""
        return f"(FROM {self._relation} WHERE {' AND '.join(self._conditions)})"

    def keep_answered(self) -> None:
        """Keep spectra of status ok with a utility."""
        self._keep("answered")
        left = self._left()
        if "STATUS" in self._table.columns or left < self._table.rows:
            self.counts.append((Step.ANSWERED, left))

    def keep_common_cells(
        self, percentile: float, cells: int | None, to_largest_occupied: bool
    ) -> None:
        """Keep spectra whose cell holds more spectra than ``percentile`` of the cells do."""
        if not self._table.has_bmu:
            self.notes.append("The SOM filter was skipped: the spectra's best cells are not known.")
            return
        found = self._table.connection.execute(
            "SELECT bmu, count(*) FROM compared WHERE bmu >= 0 GROUP BY bmu"
        ).fetchall()
        if not found:
            self.notes.append("The SOM filter was skipped: no spectrum has a best cell.")
            return
        cell, count = np.array(found, np.int64).T
        occupied = int(cell.max()) + 1
        if cells is not None and occupied > cells:
            raise InputError(f"best cells go up to {occupied - 1}, but the map has {cells} cells")
        if to_largest_occupied:
            cells = occupied
        elif cells is None:
            raise ConfigError(
                "the percentile of the SOM's cells needs to know how many cells the map has: give "
                "the map, or query.som_counts=notebook to count up to the largest occupied one"
            )
        occupation = np.zeros(cells, np.int64)
        occupation[cell] = count
        common = np.flatnonzero(occupation > np.percentile(occupation, percentile))
        unmapped = self._table.value(f"SELECT count(*) FROM {self.current} WHERE bmu IS NULL")
        if unmapped:
            self.notes.append(f"The SOM filter dropped {unmapped} spectra without a best cell.")
        self._register("common", "cell", common)
        self._keep("bmu IN (SELECT cell FROM common)")
        self._count(Step.COMMON_CELLS)

    def drop_outliers(self, highest: float) -> None:
        """Drop spectra that lie farther from their cell than is usual for it."""
        if not self._table.value("SELECT count(bmu_outlier) FROM compared"):
            self.notes.append("Outliers were kept: the spectra's outlier scores are not known.")
            return
        self._keep(f"coalesce(bmu_outlier <= {highest!r}, true)")
        self._count(Step.NO_OUTLIERS)

    def keep_science(self) -> None:
        """Drop sky fibres, which nobody would be asked to inspect."""
        self._keep("science")
        self._count(Step.SCIENCE)

    def keep_best_rows(self) -> None:
        """Keep the spectrum of each target with the highest utility."""
        self._table.connection.execute(
            f"CREATE TEMP TABLE best AS FROM {self.current} "
            f"QUALIFY row_number() OVER (PARTITION BY target ORDER BY {_ORDER}) = 1"
        )
        self._relation, self._conditions = "best", ["true"]
        self._count(Step.BEST_ROWS)

    def drop_dead_cameras(self, rule: str | None, listed: NDArray[np.int64] | None) -> None:
        """Drop targets with a dead camera in ``all`` or ``any`` of their spectra, or listed."""
        known = rule is not None and "CAMERAS" in self._table.columns
        if rule is not None and not known:
            self.notes.append("Dead cameras were not looked for: the scores have no CAMERAS.")
        if known:
            some_dead = (
                f"SELECT target FROM compared WHERE cameras & {ALL_CAMERAS} <> {ALL_CAMERAS}"
            )
            all_dead = (
                f"SELECT target FROM compared WHERE target IN ({some_dead}) GROUP BY target "
                f"HAVING bit_or(cameras) & {ALL_CAMERAS} <> {ALL_CAMERAS}"
            )
            self._keep(f"target NOT IN ({all_dead if rule == 'all' else some_dead})")
        if listed is not None:
            self._register("dead", "target", listed)
            self._keep("target NOT IN (SELECT target FROM dead)")
        if known or listed is not None:
            self._count(Step.CAMERAS)

    def drop_listed(self, listed: NDArray[np.int64]) -> None:
        """Drop the targets on a list."""
        self._register("listed", "target", listed)
        self._keep("target NOT IN (SELECT target FROM listed)")
        self._count(Step.NOT_LISTED)

    def keep_first(self, n: int) -> None:
        """Make the table ``selected``: the best ``n`` with their ``rank`` from 1.

        Raises:
            InputError: nothing is left, or nothing with a utility above 0.
        """
        left = self._left()
        steps = ", ".join(f"{step.value} {count}" for step, count in self.counts)
        if not left:
            raise InputError(f"no spectrum is left to select from ({steps})")
        self._table.connection.execute(
            "CREATE TEMP TABLE selected AS "
            f"SELECT *, row_number() OVER (ORDER BY {_ORDER}) AS rank "
            f"FROM (FROM {self.current} WHERE utility > 0 ORDER BY {_ORDER} LIMIT {n})"
        )
        remaining = self.current
        unsure = int(self._table.value(f"SELECT count(*) FROM {remaining} WHERE utility > 0") or 0)
        if not unsure:
            raise InputError(
                f"no spectrum with a utility above 0 is left, only arbitrary ones ({steps})"
            )
        self._relation, self._conditions = "selected", ["true"]
        self._count(Step.SELECTED)
        if unsure < n:
            of_no_score = (
                f", and {left - unsure} others have no utility above 0, so any order of them is "
                "arbitrary"
                if unsure < left
                else ""
            )
            self.notes.append(
                f"Only {unsure} targets remained of the {n} asked for{of_no_score}: all "
                f"{unsure} are selected."
            )
            return
        cut = self._table.value("SELECT min(utility) FROM selected")
        tied, taken = (
            self._table.value(f"SELECT count(*) FROM {spectra} WHERE utility = {cut!r}")
            for spectra in (remaining, "selected")
        )
        if tied != taken:
            self.notes.append(
                f"{tied} targets are tied at the cut; of them the {taken} with the lowest "
                "TARGETIDs are selected."
            )

    def _register(self, name: str, column: str, values: NDArray[np.int64]) -> None:
        self._table.connection.register(name, pa.table({column: pa.array(values, pa.int64())}))

    def _keep(self, condition: str) -> None:
        self._conditions.append(condition)

    def _left(self) -> int:
        return int(self._table.value(f"SELECT count(*) FROM {self.current}") or 0)

    def _count(self, step: Step) -> None:
        self.counts.append((step, self._left()))
