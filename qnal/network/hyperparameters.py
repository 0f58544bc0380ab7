"""Hyperparameters: how a network is fitted."""

import math
from dataclasses import dataclass
from enum import StrEnum

from qnal.network.precision import Precision


class Schedule(StrEnum):
    """How the learning rate changes during a fit.

    ``cosine`` lets it fall from its initial value to 0 along half a cosine wave (Loshchilov &
    Hutter 2017, without restarts).
    """

    constant = "constant"
    cosine = "cosine"

    def factor(self, done: float) -> float:
        """The learning rate relative to the initial one, when this share of the steps is done."""
        return 1.0 if self is Schedule.constant else 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Hyperparameters:
    """How a network is fitted; the defaults are those of the QuasarNET active-learning scripts.

    Attributes:
        epochs: number of epochs.
        min_steps: minimum number of optimizer steps; small sets are fitted for more epochs.
        batch_size: rows per optimizer step.
        learning_rate: learning rate of Adam.
        amsgrad: use AMSGrad instead of Adam.
        dropout: share of values dropped after each convolution.
        reg_conv, reg_dense: L2 penalty of the kernels of the convolutions and the dense layer.
        precision: number format of the convolutions.
        schedule: how the learning rate changes during the fit.
    """

    epochs: int = 8
    min_steps: int = 600
    batch_size: int = 256
    learning_rate: float = 2e-4
    amsgrad: bool = False
    dropout: float = 0.2
    reg_conv: float = 0.0
    reg_dense: float = 0.0
    precision: Precision = Precision.float32
    schedule: Schedule = Schedule.constant

    def epochs_for(self, rows: int) -> int:
        """Number of epochs for a sample of this size: ``epochs``, or more for ``min_steps``."""
        steps = -(-rows // self.batch_size)
        return max(self.epochs, -(-self.min_steps // steps))
