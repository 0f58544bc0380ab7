"""Calibration: a monotone function of the line confidence that decides a vote.

Platt scaling (Platt 1999) of the logit, with the same two parameters for all members and bounded
from below and above::

    c′ = lowest + (highest − lowest) · σ(slope · ln(c / (1 − c)) + offset),    slope > 0

It is applied before the members' soft class probabilities are averaged, and fitted so that their
out-of-bag *mean* is calibrated (:mod:`qnal.ensemble.evaluation.calibration_fit`). Votes are not
affected.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-7  # confidences are clipped to [1e-7, 1 − 1e-7], as in the training loss


@dataclass(frozen=True)
class Calibration:
    """A calibration; call it with confidences.

    Attributes:
        slope, offset: parameters on the logit scale; 1 and 0 change nothing.
        lowest, highest: calibrated values of confidences 0 and 1. A labelled set of finite size
            cannot show that a confident prediction is never wrong.
        min_lines: the ``min_lines`` it was fitted for. Another value makes the confidence of
            another line decide, so the calibration does not apply.

    Raises:
        ValueError: the parameters do not describe an increasing function.
    """

    slope: float
    offset: float
    lowest: float = 0.0
    highest: float = 1.0
    min_lines: int = 1

    def __post_init__(self) -> None:
        finite = np.isfinite([self.slope, self.offset]).all()
        if not (finite and self.slope > 0 and 0 <= self.lowest < self.highest <= 1):
            raise ValueError(f"{self} is not an increasing function of the confidence")

    def __call__(self, c: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated confidences, of the same shape as ``c``; NaN stays NaN."""
        from scipy.special import expit

        sigmoid = expit(self.slope * clipped_logit(c) + self.offset)
        # Rounding could otherwise exceed the upper bound by a last bit.
        return np.minimum(self.lowest + (self.highest - self.lowest) * sigmoid, self.highest)

    def parameters(self) -> dict[str, float]:
        """The parameters as a JSON object, which :meth:`of` reads."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Calibration":
        """Make a calibration from its stored parameters.

        Raises:
            ValueError, TypeError: the parameters do not describe an increasing function.
        """
        return cls(**stored)


def clipped_logit(c: NDArray[np.floating]) -> NDArray[np.float64]:
    """ln(c / (1 − c)) of confidences clipped to [:data:`SMALLEST`, 1 − :data:`SMALLEST`]."""
    from scipy.special import logit

    return np.asarray(logit(np.clip(np.asarray(c, np.float64), SMALLEST, 1 - SMALLEST)))
