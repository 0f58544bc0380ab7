"""Bootstrap samples and the other random choices of a member."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Bootstrap(StrEnum):
    """What is drawn with replacement: targets with all their exposures, or single rows."""

    targets = "targets"
    rows = "rows"


@dataclass(frozen=True)
class Streams:
    """Independent random streams of one member.

    Attributes:
        bag: draws the bootstrap sample.
        weights: draws the initial weights.
        fit: shuffles the batches and draws the dropout masks.
    """

    bag: np.random.Generator
    weights: np.random.Generator
    fit: np.random.Generator


def streams(seed: int, member: int, attempt: int = 0) -> Streams:
    """Random streams that depend on the seed, the member's number and the attempt only.

    Args:
        seed: seed of the ensemble.
        member: number of the member.
        attempt: how often training of this member has diverged so far.
    """
    key = (member,) if attempt == 0 else (member, attempt)
    children = np.random.SeedSequence(seed, spawn_key=key).spawn(3)
    return Streams(*(np.random.default_rng(child) for child in children))


def draw_bag(
    targetid: NDArray[np.int64], kind: Bootstrap, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw a bootstrap sample; returns row indices, repeated as often as they were drawn.

    With ``targets``, as many targets as the set has are drawn with replacement, each with all its
    rows. With ``rows``, rows are drawn, as in the QuasarNET active-learning scripts.

    Args:
        targetid: TARGETID of each row, shape [rows].
        kind: what is drawn.
        rng: source of randomness.
    """
    rows = len(targetid)
    if not rows:
        return np.zeros(0, np.int64)
    if kind is Bootstrap.rows:
        return rng.integers(rows, size=rows)
    _, index = np.unique(targetid, return_inverse=True)
    order = np.argsort(index, kind="stable")
    counts = np.bincount(index)
    starts = np.cumsum(counts) - counts
    drawn = rng.integers(len(counts), size=len(counts))
    return np.concatenate([order[starts[t] : starts[t] + counts[t]] for t in drawn])


def out_of_bag(targetid: NDArray[np.int64], bag: NDArray[np.integer]) -> NDArray[np.int64]:
    """Rows whose target has no exposure in the bag, in ascending order."""
    return np.flatnonzero(~np.isin(targetid, targetid[bag]))
