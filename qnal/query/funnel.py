"""The funnel: the steps from all scored spectra to the selected targets."""

import difflib
from collections.abc import Sequence

import numpy as np

from qnal.errors import ConfigError, InputError
from qnal.query import control
from qnal.query.candidates import MOST_UNCERTAIN, Candidates
from qnal.query.choice import as_table, choose
from qnal.query.filters.filter import Filter, SkipFilter
from qnal.query.score_table import ScoreTable
from qnal.query.selection import UtilityHistogram
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.strategy import BatchStrategy, Strategy

BINS = 66


class Funnel:
    """The filters of a query applied in order.

    Attributes:
        counts: name of each step applied and the number of spectra it left; from the filter
            that leaves one spectrum per target on, that is the number of targets.
        candidates: the spectra left.
        histogram: utilities before and after that filter.
    """

    def __init__(self, table: ScoreTable, strategy: Strategy) -> None:
        self.counts = [("scored", table.rows)]
        self.candidates = Candidates(table)
        self._highest = strategy.highest
        self._uncounted: str | None = None  # name of the last step
        self.histogram = UtilityHistogram(
            np.linspace(0, self._highest, BINS + 1), np.zeros(BINS, int), np.zeros(BINS, int)
        )

    def apply_all(self, filters: Sequence[Filter]) -> None:
        """Apply the filters in order."""
        for step in filters:
            if step.per_target:
                self._missing(step)
                before = self.candidates.histogram(self._highest, BINS)
                self._count(int(before.sum()))
                self.candidates.spectra = self.candidates.rows
                self.candidates.store(step.keep(self.candidates), "best_spectra")
                after = self.candidates.histogram(self._highest, BINS)
                self.histogram = UtilityHistogram(self.histogram.edges, before, after)
                self.counts.append((step.name, int(after.sum())))
            else:
                self._count()
                self._apply(step)
        self._count()

    def _count(self, rows: int | None = None) -> None:
        """Count what the last step left, unless the number of ``rows`` is known already."""
        if self._uncounted is not None:
            self.counts.append((self._uncounted, self.candidates.count() if rows is None else rows))
            self._uncounted = None

    def _apply(self, step: Filter) -> None:
        try:
            missing = self._missing(step)
            if missing:
                raise SkipFilter(f"the scores have no {' and no '.join(missing)}")
            self.candidates.rows = f"({step.keep(self.candidates)})"
        except SkipFilter as skipped:
            self.candidates.notes.append(f"Filter “{step.name}” was skipped: {skipped}.")
            return
        self._uncounted = step.name

    def _missing(self, step: Filter) -> list[str]:
        """The columns that a filter needs and the scores lack."""
        missing = [name for name in step.columns if not self.candidates.table.has(name)]
        if missing and not step.optional:
            close = difflib.get_close_matches(
                missing[0].upper(), self.candidates.table.columns, n=1
            )
            hint = f" Did you mean {close[0]}?" if close else ""
            raise InputError(
                f"the filter “{step.name}” needs {' and '.join(missing)}, which the scores do not "
                f"have; leave it out of query.filters, or score with files that have it.{hint}"
            )
        return missing

    def drop_control(self) -> None:
        """Take the control picks out of the candidates, so that they do not use up picks."""
        candidates = self.candidates
        candidates.rows = (
            f"(FROM {candidates.rows} WHERE TARGETID NOT IN (SELECT TARGETID FROM {control.TABLE}))"
        )
        self.counts.append(("no control picks", candidates.count()))

    def select(self, n: int, strategy: Strategy, rng: np.random.Generator) -> None:
        """Store ``n`` candidates, with their ``rank`` from 1, as table ``selected``.

        These are the ones with the highest utility, or those that a batch strategy selects.

        Raises:
            InputError: no candidate has a utility above 0.
            ConfigError: the strategy selects others than candidates, or one twice.
        """
        candidates = self.candidates
        left, uncertain = candidates.count(), candidates.count("utility > 0")
        if not uncertain:
            steps = ", ".join(f"{name} {count}" for name, count in self.counts)
            what = "with a utility above 0 is" if left else "is"
            raise InputError(f"no spectrum {what} left to select from ({steps}).")
        remaining = candidates.rows
        candidates.rows = f"(FROM {remaining} WHERE utility > 0)"
        chosen = as_table(choose(strategy, candidates, n, rng))
        candidates.table.connection.register("chosen", chosen)
        if candidates.table.late:
            found = (
                f"SELECT s.*, rank, strategy FROM {candidates.spectra} s "
                f"JOIN chosen USING (TARGETID) {MOST_UNCERTAIN}"
            )
        else:
            found = (
                f"SELECT c.*, rank, strategy FROM {candidates.rows} c JOIN chosen USING (TARGETID)"
            )
        candidates.store(found, "selected")
        found_targets = candidates.table.value("SELECT count(DISTINCT TARGETID) FROM selected")
        if found_targets != chosen.num_rows:
            raise ConfigError(
                f"{strategy.name} selected {chosen.num_rows} TARGETIDs, of which {found_targets} "
                "are different candidates; a strategy selects candidates, each once."
            )
        self.counts.append(("selected", chosen.num_rows))
        if uncertain < n:
            certain = f"; {left - uncertain} others have utility 0" if uncertain < left else ""
            candidates.notes.append(
                f"Only {uncertain} of the {n} targets asked for are left, and all are selected"
                f"{certain}."
            )
            return
        if isinstance(strategy, (BatchStrategy, Mixture)):
            return
        table = candidates.table
        cut = table.value("SELECT min(utility) FROM selected")
        tied, taken = (
            table.value(f"SELECT count(DISTINCT TARGETID) FROM {rows} WHERE utility = {cut!r}")
            for rows in (remaining, "selected")
        )
        if tied != taken:
            candidates.notes.append(
                f"{tied} targets share the lowest selected utility; the {taken} with the lowest "
                "TARGETIDs are selected."
            )
