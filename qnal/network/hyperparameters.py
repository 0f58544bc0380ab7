"""How a network is fitted: for how long, from what, in which batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.network.network import Network
from qnal.network.precision import Precision


@dataclass(frozen=True)
class Hyperparameters:
    """How a network is fitted; defaults are the reference's."""

    epochs: int = 8
    min_steps: int = 600
    batch_size: int = 256
    learning_rate: float = 2e-4
    amsgrad: bool = False
    dropout: float = 0.2
    reg_conv: float = 0.0
    reg_dense: float = 0.0
    precision: Precision = Precision.float32

    def epochs_for(self, rows: int) -> int:
        """``epochs``, or as many as make ``min_steps`` optimizer steps."""
        steps = -(-rows // self.batch_size)
        return max(self.epochs, -(-self.min_steps // steps))


@dataclass(frozen=True)
class Start:
    """What one member's training starts from.

    Attributes:
        network: initial weights.
        rows: indices into the spectra, repeated as the bootstrap drew them.
        rng: gives the order of batches and the dropout bits.
    """

    network: Network
    rows: NDArray[np.integer]
    rng: np.random.Generator


class Course:
    """One member on its way through its epochs.

    Attributes:
        seed: of its dropout.
        steps: optimizer steps done.
        losses: mean loss of every epoch done.
        running: whether more epochs follow; none does on a loss that is not finite.
    """

    def __init__(self, start: Start, hyperparameters: Hyperparameters) -> None:
        self.rows = len(start.rows)
        self.epochs = hyperparameters.epochs_for(self.rows)
        self.seed = int(start.rng.integers(2**31))
        self.steps = 0
        self.losses: list[float] = []
        self.running = True
        self._steps_an_epoch = -(-self.rows // hyperparameters.batch_size)
        self._batches = _batches(start, hyperparameters.batch_size)
        self._total = 0.0

    def batch(self) -> NDArray[np.int32]:
        """Rows of the next step."""
        self.steps += 1
        return next(self._batches)

    def at_epoch_end(self) -> bool:
        """Whether the last batch given was the last of an epoch."""
        return self.steps % self._steps_an_epoch == 0

    def add(self, loss: float, rows: int) -> None:
        """Note the mean loss of a batch of so many rows."""
        self._total += loss * rows

    def end_epoch(self) -> float:
        """The epoch's mean loss, once all its batches are noted."""
        self.losses.append(self._total / self.rows)
        self._total = 0.0
        self.running = bool(np.isfinite(self.losses[-1])) and len(self.losses) < self.epochs
        return self.losses[-1]


def _batches(start: Start, size: int) -> Iterator[NDArray[np.int32]]:
    while True:
        order = start.rng.permutation(start.rows).astype(np.int32)
        for first in range(0, len(order), size):
            yield order[first : first + size]
