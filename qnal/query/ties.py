"""Ties between the spectra of a target that are equally uncertain.

They are broken by EXPID, FILE and ROW. Comparing these for all spectra of the pool takes half the
time of a query and half its memory, so that it waits, where it can, until the targets are selected.
"""

from collections.abc import Sequence

from qnal.query.filters.best_spectrum import BestSpectrum
from qnal.query.filters.filter import Filter
from qnal.query.score_table import ScoreTable
from qnal.query.spectra_sql import PLACE
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.strategy import BatchStrategy, Strategy


def ties_can_wait(strategy: Strategy, filters: Sequence[Filter]) -> bool:
    """Whether the selected targets do not depend on which of several equal spectra is the best one.

    They may if the strategy or a later filter looks at the best spectrum of each target, or is a
    plug-in, which may look at EXPID, FILE and ROW in any case.
    """
    ours = all(type(part).__module__.startswith("qnal.") for part in (strategy, *filters))
    per_target = [place for place, step in enumerate(filters) if step.per_target]
    return (
        ours
        and not isinstance(strategy, (BatchStrategy, Mixture))
        and len(per_target) == 1
        and isinstance(filters[per_target[0]], BestSpectrum)
        and all(step.whole_targets for step in filters[per_target[0] + 1 :])
    )


def tie_break(table: ScoreTable) -> str:
    """ORDER BY clause over ``source`` by which the first of several equal spectra is the best."""
    known = [f"source.{column} NULLS LAST" for column in PLACE if column in table.columns]
    return ", ".join([*known, *(f"source.{column}" for column in table.key)])
