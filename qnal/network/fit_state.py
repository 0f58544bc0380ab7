"""State of the fit of one network: where it starts, its batches and its losses."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qnal.network.hyperparameters import Hyperparameters
from qnal.network.network import Network


@dataclass(frozen=True)
class Versions:
    """Versions of spectra that batches are drawn from: version v of row r is row v · rows + r.

    Attributes:
        number: number of versions of each spectrum.
        rows: number of spectra.
    """

    number: int = 1
    rows: int = 0

    def drawn(self, rows: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
        """A random version of each row; the rows themselves if there is only one."""
        if self.number == 1:
            return rows
        return rows + self.rows * rng.integers(self.number, size=len(rows))


@dataclass(frozen=True)
class InitialState:
    """What the fit of a network starts from.

    Attributes:
        network: the initial weights.
        rows: indices into the spectra, repeated as the bootstrap drew them.
        rng: shuffles the batches and draws the dropout masks.
        extra: indices of further spectra, such as those of a prior.
        extra_per_epoch: number of them that each epoch has, drawn anew without replacement.
        versions: versions of each spectrum, one of which is drawn in each epoch.
    """

    network: Network
    rows: NDArray[np.integer]
    rng: np.random.Generator
    extra: NDArray[np.integer] = field(default_factory=lambda: np.zeros(0, np.int64))
    extra_per_epoch: int = 0
    versions: Versions = Versions()

    @property
    def epoch_rows(self) -> int:
        """Number of spectra of an epoch."""
        return len(self.rows) + self.extra_per_epoch


class FitState:
    """Progress of the fit of one network.

    Attributes:
        seed: seed of the dropout masks.
        steps: optimizer steps done.
        losses: mean loss of each epoch done.
        running: whether more epochs follow; the fit ends early if a loss is not finite.
    """

    def __init__(self, initial: InitialState, hyperparameters: Hyperparameters) -> None:
        self.rows = initial.epoch_rows
        self.epochs = hyperparameters.epochs_for(self.rows)
        self.seed = int(initial.rng.integers(2**31))
        self.steps = 0
        self.losses: list[float] = []
        self.running = True
        self._steps_per_epoch = -(-self.rows // hyperparameters.batch_size)
        self._schedule = hyperparameters.schedule
        self._rate = hyperparameters.learning_rate
        self._batches = _batches(initial, hyperparameters.batch_size)
        self._total = 0.0

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        done = self.steps / (self.epochs * self._steps_per_epoch)
        return self._rate * self._schedule.factor(done)

    def batch(self) -> NDArray[np.int32]:
        """Rows of the next step."""
        self.steps += 1
        return next(self._batches)

    def at_epoch_end(self) -> bool:
        """Whether the latest batch was the last one of an epoch."""
        return self.steps % self._steps_per_epoch == 0

    def add(self, loss: float, rows: int) -> None:
        """Add the mean loss of a batch with this number of rows."""
        self._total += loss * rows

    def end_epoch(self) -> float:
        """Close an epoch after the losses of all its batches were added; returns its mean loss."""
        self.losses.append(self._total / self.rows)
        self._total = 0.0
        self.running = bool(np.isfinite(self.losses[-1])) and len(self.losses) < self.epochs
        return self.losses[-1]


def _batches(initial: InitialState, size: int) -> Iterator[NDArray[np.int32]]:
    while True:
        rows = initial.rows
        if initial.extra_per_epoch:
            extra = initial.rng.choice(initial.extra, initial.extra_per_epoch, replace=False)
            rows = np.concatenate([rows, extra])
        rows = initial.versions.drawn(rows, initial.rng)
        order = initial.rng.permutation(rows).astype(np.int32)
        for first in range(0, len(order), size):
            yield order[first : first + size]
