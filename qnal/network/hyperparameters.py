"""Hyperparameters: how a network is fitted."""

from dataclasses import dataclass

from qnal.network.precision import Precision


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

    def epochs_for(self, rows: int) -> int:
        """Number of epochs for a sample of this size: ``epochs``, or more for ``min_steps``."""
        steps = -(-rows // self.batch_size)
        return max(self.epochs, -(-self.min_steps // steps))
