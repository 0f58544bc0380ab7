"""Which labelled spectra a member is trained on, and all else that is random about it."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Bootstrap(StrEnum):
    """What a bag draws with replacement: targets with all their exposures, or single rows."""

    targets = "targets"
    rows = "rows"


@dataclass(frozen=True)
class Streams:
    """Independent random streams of one member, from (seed, k) alone."""

    bag: np.random.Generator
    weights: np.random.Generator
    fit: np.random.Generator


def streams(seed: int, member: int, attempt: int = 0) -> Streams:
    """The streams of a member; ``attempt`` > 0 gives others, for training that diverged."""
    key = (member,) if attempt == 0 else (member, attempt)
    children = np.random.SeedSequence(seed, spawn_key=key).spawn(3)
    return Streams(*(np.random.default_rng(child) for child in children))


def draw_bag(
    targetid: NDArray[np.int64], kind: Bootstrap, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Row indices of a bootstrap sample, repeated as drawn.

    With ``targets`` as many targets as there are are drawn with replacement, and every draw
    brings all rows of the target; with ``rows``, rows are drawn, as the reference does.

    Args:
        targetid: TARGETID of each row, shape [rows].
    """
    rows = len(targetid)
    if kind is Bootstrap.rows:
        return rng.integers(rows, size=rows)
    _, index = np.unique(targetid, return_inverse=True)
    order = np.argsort(index, kind="stable")
    counts = np.bincount(index)
    starts = np.cumsum(counts) - counts
    drawn = rng.integers(len(counts), size=len(counts))
    return np.concatenate([order[starts[t] : starts[t] + counts[t]] for t in drawn])


def out_of_bag(targetid: NDArray[np.int64], bag: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of which no exposure of the same target is in the bag, ascending."""
    return np.flatnonzero(~np.isin(targetid, targetid[bag]))
