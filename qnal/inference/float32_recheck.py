"""Which votes bfloat16 could get wrong, and how far it is off.

A network's answer is compared before its sigmoid, where rounding errors are alike for sure and
unsure answers. On mock and real spectra, errors of a member scatter by an rms of 0.005 to 0.02
there, and the largest of thousands is 6 to 9 times the rms; votes are doubted within SAFETY times
it. That concerns one to two spectra and members in a hundred (docs/forward.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.votes import Thresholds, votes

SAFETY = 16.0  # margin over rms error
WORST = 2.0  # margin over largest error seen
SLACK = 0.05  # boxes by which an offset may be off
SATURATED = 14.0  # from here on float32 sigmoids are 1 but for a few last bits
MOST_REPEATED = 0.1  # share of second passes from which on bfloat16 gains too little
_FLOOR = 1e-7


@dataclass(frozen=True)
class Peaks:
    """The highest box of every head, of some members on the same spectra.

    Attributes:
        confidence: its value, shape [members, rows, heads]; BAL heads last.
        box: its number, same shape.
        offset: its offset, same shape.
        below: highest confidence of any line at redshifts below ``high_z``, [members, rows].
        above: the same at redshifts from ``high_z`` on; boxes within :data:`SLACK` of it count in
            both.
    """

    confidence: NDArray[np.float32]
    box: NDArray[np.int32]
    offset: NDArray[np.float32]
    below: NDArray[np.float32]
    above: NDArray[np.float32]

    def deciding(self, lines: int, min_lines: int) -> NDArray[np.float32]:
        """The ``min_lines``-th largest confidence of the first ``lines`` heads, [members, rows]."""
        ordered = np.sort(self.confidence[:, :, :lines], axis=2)
        deciding: NDArray[np.float32] = ordered[:, :, -min_lines]
        return deciding


@dataclass(frozen=True)
class Float32Recheck:
    """When a bfloat16 answer does not settle a vote.

    Attributes:
        margins: by how much a member may be off before its sigmoid, shape [members].
        lines: number of heads that vote.
        linear: whether boxes have no sigmoid.
    """

    margins: NDArray[np.float64]
    lines: int
    linear: bool

    @classmethod
    def measured(cls, narrow: Peaks, exact: Peaks, lines: int, linear: bool) -> "Float32Recheck":
        """From the same spectra in bfloat16 and in float32."""
        error = _before_sigmoid(narrow.confidence[:, :, :lines], linear)
        error -= _before_sigmoid(exact.confidence[:, :, :lines], linear)
        rms = np.sqrt(np.mean(error**2, axis=(1, 2)))
        return cls(np.maximum(SAFETY * rms, WORST * np.abs(error).max(axis=(1, 2))), lines, linear)

    def of(self, members: slice) -> "Float32Recheck":
        """The same for some of the members."""
        return Float32Recheck(self.margins[members], self.lines, self.linear)

    def about(self, peaks: Peaks, thresholds: Thresholds) -> NDArray[np.bool_]:
        """Which votes are not sure, shape [members, rows].

        A vote is in doubt if the confidence that decides it is near the threshold; or if there is
        a quasar, and boxes on either side of ``high_z`` are nearly as confident, one of which
        gives the redshift.
        """
        margin = self.margins[:, None]
        deciding = _before_sigmoid(peaks.deciding(self.lines, thresholds.min_lines), self.linear)
        above = deciding - _before_sigmoid(np.float32(thresholds.line_threshold), self.linear)
        second = _before_sigmoid(np.minimum(peaks.below, peaks.above), self.linear)
        first = _before_sigmoid(np.maximum(peaks.below, peaks.above), self.linear)
        if not self.linear:
            first = np.minimum(first, SATURATED)
        tie = second >= first - 2 * margin
        recheck: NDArray[np.bool_] = (np.abs(above) <= margin) | ((above > 0) & tie)
        return recheck

    def holds(
        self, narrow: Peaks, exact: Peaks, z_best: tuple[NDArray, NDArray], thresholds: Thresholds
    ) -> NDArray[np.bool_]:
        """For which members bfloat16 gives the votes of float32 here, and pays; shape [members].

        Args:
            narrow, exact: the same spectra in bfloat16 and in float32.
            z_best: redshifts by either, each of shape [members, rows].
            thresholds: when a member votes quasar.
        """
        recheck = self.about(narrow, thresholds)
        off = np.where(narrow.box == exact.box, np.abs(narrow.offset - exact.offset), 0)
        ours, theirs = (
            votes(peaks.deciding(self.lines, thresholds.min_lines), z, thresholds)
            for peaks, z in zip((narrow, exact), z_best, strict=True)
        )
        holds: NDArray[np.bool_] = np.isfinite(self.margins) & (recheck | (ours == theirs)).all(1)
        holds &= (recheck.mean(axis=1) <= MOST_REPEATED) & (WORST * off.max(axis=(1, 2)) <= SLACK)
        return holds


def _before_sigmoid(confidence: NDArray | np.floating, linear: bool) -> NDArray[np.float64]:
    value = np.asarray(confidence, np.float64)
    if linear:
        return value.copy()
    value = np.clip(value, _FLOOR, 1 - _FLOOR)
    before: NDArray[np.float64] = np.log(value / (1 - value))
    return before
