"""A calibration: one monotone map of the confidence that decides a vote (DESIGN.md, Scores).

Platt's map (1999) in the logit, with the same two parameters for all members, between bounds::

    c′ = lowest + (highest − lowest) · σ(slope · ln(c / (1 − c)) + offset),    slope > 0

It is applied before the members' soft probabilities are averaged, and fitted so that their
out-of-bag *mean* is calibrated (:mod:`qnal.ensemble.evaluation.calibration_fit`). Votes never
see it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-7  # confidences are taken to be at least this far from 0 and 1, as in the loss


@dataclass(frozen=True)
class Calibration:
    """The map, called with confidences.

    Attributes:
        slope, offset: of the logit; 1 and 0 change nothing.
        lowest, highest: what confidences of 0 and 1 become; no labelled set of finite size shows
            that a confident answer is never wrong.
        min_lines: the :class:`~qnal.ensemble.votes.Thresholds` it was fitted for: with other
            ``min_lines`` another line's confidence decides.
    """

    slope: float
    offset: float
    lowest: float = 0.0
    highest: float = 1.0
    min_lines: int = 1

    def __post_init__(self) -> None:
        finite = np.isfinite([self.slope, self.offset]).all()
        if not (finite and self.slope > 0 and 0 <= self.lowest < self.highest <= 1):
            raise ValueError(f"{self} is no increasing map of confidences")

    def __call__(self, c: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated confidences, shape as ``c``; NaN stays NaN."""
        t = self.slope * logit(c) + self.offset
        return self.lowest + (self.highest - self.lowest) * sigmoid(t)

    def parameters(self) -> dict[str, float]:
        """What JSON takes, and :meth:`of` reads."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Calibration":
        """From its parameters.

        Raises:
            ValueError, TypeError: they are not those of an increasing map.
        """
        return cls(**stored)


def logit(c: NDArray[np.floating]) -> NDArray[np.float64]:
    """ln(c / (1 − c)) of confidences, kept :data:`SMALLEST` away from 0 and 1."""
    c = np.clip(np.asarray(c, np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(c) - np.log1p(-c)


def sigmoid(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + e⁻ᵗ), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * t)
