"""The contract of a filter."""

from abc import ABC, abstractmethod

from qnal.query.candidates import Candidates


class SkipFilter(Exception):  # noqa: N818 (not an error: the query goes on and notes the reason)
    """Raised by :meth:`Filter.keep` if the filter cannot be applied; gives the reason."""


class Filter(ABC):
    """One step of a query, which keeps some of the spectra.

    Attributes:
        name: name of the step in the funnel.
        columns: columns of the scores that the filter needs, besides those that
            :class:`~qnal.query.score_table.ScoreTable` always has. If the scores lack one, the
            filter is skipped and the selection notes it, unless ``optional`` is false.
        also: columns that the filter reads if the scores have them.
        optional: whether the filter may be skipped where a column is missing; if false, the query
            is refused.
        interesting: whether the filter says which targets are interesting (or easy to label) rather
            than which are wanted at all. Control picks are drawn before such filters.
        per_target: whether the filter leaves one spectrum per target.
        whole_targets: whether the filter keeps or drops all spectra of a target alike, and looks
            only at the TARGETIDs of the candidates.
    """

    name: str
    columns: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    optional: bool = True
    interesting: bool = False
    per_target: bool = False
    whole_targets: bool = False

    @abstractmethod
    def keep(self, candidates: Candidates) -> str:
        """SQL query for the rows to keep of ``candidates.rows``.

        Raises:
            SkipFilter: the filter cannot be applied to these spectra.
        """
