"""Which candidates a strategy chooses."""

import numpy as np
import pyarrow as pa

from qnal.query.candidates import Candidates
from qnal.query.strategies.mixture import Mixture
from qnal.query.strategies.strategy import BatchStrategy, Strategy

Chosen = list[tuple[str, list[int]]]  # name of a strategy and the TARGETIDs it chose, in order


def choose(strategy: Strategy, candidates: Candidates, n: int, rng: np.random.Generator) -> Chosen:
    """At most ``n`` candidates, of one spectrum per target and with a utility above 0."""
    if isinstance(strategy, Mixture):
        return _from_parts(strategy, candidates, n, rng)
    if isinstance(strategy, BatchStrategy):
        targetids = strategy.select(candidates, n, rng)
    else:
        targetids = candidates.targetids(
            f"FROM {candidates.rows} ORDER BY utility DESC, TARGETID LIMIT {n}"
        )
    return [(strategy.name, [int(targetid) for targetid in targetids])]


def _from_parts(
    mixture: Mixture, candidates: Candidates, n: int, rng: np.random.Generator
) -> Chosen:
    """Each strategy chooses from what those before it left; what one lacks goes to the others."""
    chosen: Chosen = []
    taken: list[int] = []
    for first_time in (True, False):
        numbers = mixture.numbers(n)
        for i, (part, _) in enumerate(mixture.parts):
            number = numbers[i] if first_time else n - len(taken)
            if not number:
                continue
            listed = candidates.table.integers(np.array(taken, np.int64))
            left = Candidates(
                candidates.table,
                f"(SELECT * REPLACE (utility_{i} AS utility) FROM {candidates.rows} "
                f"WHERE utility_{i} > 0 AND TARGETID NOT IN (FROM {listed}))",
            )
            for name, targetids in choose(part, left, number, rng):
                chosen.append((name, targetids))
                taken += targetids
    return chosen


def as_table(chosen: Chosen) -> pa.Table:
    """TARGETID, ``rank`` from 1 and ``strategy`` of the chosen targets."""
    targetids = [targetid for _, some in chosen for targetid in some]
    names = [name for name, some in chosen for _ in some]
    return pa.table(
        {
            "TARGETID": pa.array(targetids, pa.int64()),
            "rank": pa.array(range(1, len(targetids) + 1), pa.int64()),
            "strategy": pa.array(names, pa.string()),
        }
    )
