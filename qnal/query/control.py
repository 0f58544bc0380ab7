"""Control picks: targets drawn uniformly, whose labels are a fair sample of the pool.

Labels of targets that a strategy selected are a biased sample. Completeness, purity and calibration
on the pool can only be measured on targets that were drawn without looking at their scores.
"""

from collections.abc import Sequence

from qnal.errors import InputError
from qnal.query.candidates import MOST_UNCERTAIN, ORDER, Candidates
from qnal.query.filters.filter import Filter, SkipFilter
from qnal.query.random_number import random_number
from qnal.query.score_table import ScoreTable

TABLE = "control_picks"
LABELLABLE = "utility IS NOT NULL AND science"


def draw_control(table: ScoreTable, filters: Sequence[Filter], n: int, seed: int) -> int:
    """Draw control picks and store the best spectrum of each as the table ``control_picks``.

    They are drawn uniformly from all targets that could be labelled: those with a usable spectrum
    that is not of a sky fibre, after the filters that say which targets are wanted and before those
    that say which are interesting (:attr:`Filter.interesting`). The draw depends on the seed and
    on the TARGETIDs only.

    Args:
        table: the scores.
        filters: all filters of the query.
        n: number of targets to draw.
        seed: seed of the query.

    Returns:
        The population: the number of targets that could have been drawn, for which they stand.

    Raises:
        InputError: there are no more targets than control picks.
    """
    wanted = Candidates(table, f"(FROM spectra WHERE {LABELLABLE})")
    for step in filters:
        if step.interesting or step.per_target or not all(map(table.has, step.columns)):
            continue
        try:
            wanted.rows = f"({step.keep(wanted)})"
        except SkipFilter:  # the funnel notes it
            continue
    drawn = (
        f"SELECT TARGETID FROM (SELECT DISTINCT TARGETID FROM {wanted.rows}) "
        f"ORDER BY {random_number(seed, 'control')} DESC, TARGETID LIMIT {n}"
    )
    population = int(table.value(f"SELECT count(DISTINCT TARGETID) FROM {wanted.rows}") or 0)
    if population <= n:
        raise InputError(
            f"control={n} cannot be used: {population} targets could be labelled, and none "
            "would be left to select."
        )
    one = f"QUALIFY row_number() OVER (PARTITION BY TARGETID ORDER BY {ORDER}) = 1"
    best = MOST_UNCERTAIN if table.late else one
    wanted.store(f"FROM {wanted.rows} WHERE TARGETID IN ({drawn}) {best}", TABLE)
    return population
