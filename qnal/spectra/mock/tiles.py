"""Distribution of the rows of a mock survey over tiles, petals and exposures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qnal.spectra.mock.config import MockConfig


@dataclass(frozen=True)
class Tile:
    """One pointing.

    Attributes:
        index: 0, 1, … within its part of the survey.
        exposures: number of exposures.
        targets: number of targets per petal.
        last: number of these in the last exposure; fewer if the number of rows is reached.
    """

    index: int
    exposures: int
    targets: tuple[int, ...]
    last: tuple[int, ...]

    def rows(self, petal: int, exposure: int) -> int:
        """Number of rows of the file of a petal and an exposure, both counted from 0."""
        return self.last[petal] if exposure == self.exposures - 1 else self.targets[petal]


def share_out(rows: int, seed: list[int], config: MockConfig) -> Iterator[Tile]:
    """Tiles that have ``rows`` rows (target × exposure) in total.

    All but the last two are full, and do not depend on ``rows``.
    """
    index = 0
    while rows > 0:
        rng = np.random.default_rng([*seed, index])
        exposures = min(int(rng.integers(1, config.exposures + 1)), rows)
        n = min(config.petals * config.fibres, -(-rows // exposures))
        exposures = min(exposures, -(-rows // n))  # n was rounded up: fewer may be enough
        targets = [n // config.petals + (p < n % config.petals) for p in range(config.petals)]
        reached = min(n, rows - n * (exposures - 1))
        last = []
        for k in targets:
            last.append(min(k, max(reached, 0)))
            reached -= last[-1]
        yield Tile(index, exposures, tuple(targets), tuple(last))
        rows -= n * (exposures - 1) + sum(last)
        index += 1
