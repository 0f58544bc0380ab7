"""Which bfloat16 predictions are computed again in float32, because rounding could change a vote.

Errors are measured before the output sigmoid (as logits), where rounding errors are equally large
for confident and unconfident predictions. On mock and real spectra the logit error of a member has
an rms of 0.005 to 0.02, and the largest of thousands is 6 to 9 times the rms. A prediction within
``SAFETY`` times the rms of a threshold is computed again (docs/inference.md).

The rule looks at a fixed list of thresholds, not at those of the job, so that stored predictions do
not depend on which job made them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.ensemble.votes import MemberPredictions, Thresholds, votes
from qnal.inference.packing import PackedPredictions
from qnal.inference.probe_spectra import probe_digest
from qnal.network.network import Network, OffsetActivation

VERSION = 1  # bump this number when the rule or the probe spectra change
LINE_THRESHOLDS = (0.5, 0.6, 0.95, 0.99)
HIGH_Z = 2.1
SAFETY = 16.0  # margin in units of the rms error on the probe spectra
WORST = 2.0  # margin in units of the largest error on the probe spectra, if that is more
SLACK = 0.05  # largest error of an offset, in boxes
SATURATED = 14.0  # logit from which on float32 sigmoids are 1 up to a few last bits
MOST_RECHECKED = 0.1  # share of rechecked probe spectra above which bfloat16 saves too little
_FLOOR = 1e-7


def recheck_rule() -> dict[str, Any]:
    """What stored bfloat16 predictions depend on besides the network, as JSON takes it."""
    return {
        "version": VERSION,
        "line_thresholds": list(LINE_THRESHOLDS),
        "high_z": HIGH_Z,
        "probe_spectra": probe_digest(),
    }


@dataclass(frozen=True)
class Peaks:
    """The box of highest value of every head, for several members and the same spectra.

    Attributes:
        confidence: value of the box, shape [members, rows, heads]; BAL heads last.
        box: its index, same shape.
        offset: its offset, same shape.
        below: highest confidence of any line at redshifts below ``HIGH_Z``, [members, rows].
        above: the same for redshifts from ``HIGH_Z`` on; boxes within :data:`SLACK` of ``HIGH_Z``
            count in both.
    """

    confidence: NDArray[np.float32]
    box: NDArray[np.int32]
    offset: NDArray[np.float32]
    below: NDArray[np.float32]
    above: NDArray[np.float32]


@dataclass(frozen=True)
class Float32Recheck:
    """Decides which predictions of bfloat16 are computed again.

    Attributes:
        margins: largest logit error to be expected of a member, shape [members].
        lines: number of heads that vote; the BAL heads behind them do not.
        min_lines: which of the lines' confidences decides a vote, counted from the largest.
        linear: whether the heads have no sigmoid, so that a confidence is its own logit.
    """

    margins: NDArray[np.float64]
    lines: int
    min_lines: int
    linear: bool

    @classmethod
    def measured(
        cls, narrow: Peaks, exact: Peaks, network: Network, min_lines: int
    ) -> "Float32Recheck":
        """Margins from the same spectra in bfloat16 (``narrow``) and in float32 (``exact``)."""
        linear, lines = is_linear(network), len(network.lines)
        error = _logit(narrow.confidence[:, :, :lines], linear)
        error -= _logit(exact.confidence[:, :, :lines], linear)
        rms = np.sqrt(np.mean(error**2, axis=(1, 2)))
        margins = np.maximum(SAFETY * rms, WORST * np.abs(error).max(axis=(1, 2)))
        return cls(margins, lines, min_lines, linear)

    def of(self, members: slice) -> "Float32Recheck":
        """The same for some of the members."""
        return Float32Recheck(self.margins[members], self.lines, self.min_lines, self.linear)

    def deciding(self, peaks: Peaks) -> NDArray[np.float32]:
        """The confidence that decides each vote, shape [members, rows]."""
        ordered = np.sort(peaks.confidence[:, :, : self.lines], axis=2)
        deciding: NDArray[np.float32] = ordered[:, :, -self.min_lines]
        return deciding

    def needed(self, peaks: Peaks) -> NDArray[np.bool_]:
        """Which predictions are computed again, shape [members, rows].

        Those whose deciding confidence lies within the margin of one of the thresholds; and those
        of quasars with similar confidences on either side of ``HIGH_Z``, where rounding decides
        which of them gives the redshift.
        """
        margin = self.margins[:, None]
        deciding = _logit(self.deciding(peaks), self.linear)
        thresholds = [_logit(np.float32(t), self.linear) for t in LINE_THRESHOLDS]
        near = np.zeros(deciding.shape, bool)
        for threshold in thresholds:
            near |= np.abs(deciding - threshold) <= margin
        second = _logit(np.minimum(peaks.below, peaks.above), self.linear)
        first = _logit(np.maximum(peaks.below, peaks.above), self.linear)
        if not self.linear:
            first = np.minimum(first, SATURATED)
        tie = second >= first - 2 * margin
        needed: NDArray[np.bool_] = near | ((deciding > min(thresholds)) & tie)
        return needed

    def suits(
        self, narrow: Peaks, exact: Peaks, z_best: tuple[NDArray, NDArray]
    ) -> NDArray[np.bool_]:
        """Which members bfloat16 suits, shape [members].

        Those whose votes on the probe spectra, after the recheck, are those of float32, and of
        whose predictions few are computed again.

        Args:
            narrow, exact: the probe spectra in bfloat16 and in float32.
            z_best: redshifts of either, each of shape [members, rows].
        """
        needed = self.needed(narrow)
        off = np.where(narrow.box == exact.box, np.abs(narrow.offset - exact.offset), 0)
        suits = np.isfinite(self.margins) & (WORST * off.max(axis=(1, 2)) <= SLACK)
        suits &= needed.mean(axis=1) <= MOST_RECHECKED
        for line_threshold in LINE_THRESHOLDS:
            thresholds = Thresholds(line_threshold, self.min_lines, HIGH_Z)
            ours, theirs = (
                votes(self.deciding(peaks), z, thresholds)
                for peaks, z in zip((narrow, exact), z_best, strict=True)
            )
            suits &= (needed | (ours == theirs)).all(axis=1)
        found: NDArray[np.bool_] = suits
        return found


def uncertain_votes(
    predictions: MemberPredictions,
    packed: PackedPredictions,
    thresholds: Thresholds,
    offset_error: "OffsetError",
) -> int:
    """Number of votes that lie within the measured rounding error at these thresholds.

    It is 0 for the thresholds of the rule. At another ``line_threshold`` those votes count whose
    deciding confidence is within the margin of it; at another ``high_z`` those for a quasar whose
    redshift is within the error of an offset of it, or whose second-best line is about as
    confident as the best and on the other side.

    Args:
        predictions: of all members.
        packed: the same, with what is known of their errors.
        thresholds: the job's.
        offset_error: of the members.
    """
    linear, margins = offset_error.linear, packed.margins
    deciding = _logit(predictions.deciding, linear)
    threshold = _logit(np.float32(thresholds.line_threshold), linear)
    uncertain = np.zeros(deciding.shape, bool)
    if thresholds.line_threshold not in LINE_THRESHOLDS:
        uncertain |= np.abs(deciding - threshold) <= margins
    if thresholds.high_z != HIGH_Z or thresholds.line_threshold < min(LINE_THRESHOLDS):
        distance = np.log1p(predictions.z_best) - np.log1p(thresholds.high_z)
        close = np.abs(distance) <= offset_error.log_z
        high = predictions.z_best >= thresholds.high_z
        other = (predictions.z >= thresholds.high_z) != high[:, None]
        confidence = _logit(predictions.confidence, linear)
        best = confidence.max(axis=1)
        if not linear:
            best = np.minimum(best, SATURATED)
        close |= (other & (confidence >= best[:, None] - 2 * margins)).any(axis=1)
        uncertain |= (deciding > threshold) & close
    return int((uncertain & ~packed.rechecked & (margins > 0)).sum())


@dataclass(frozen=True)
class OffsetError:
    """Largest rounding error of a redshift, for networks of one form.

    Attributes:
        log_z: error of ln(1 + z) by :data:`SLACK` boxes.
        linear: whether the heads have no sigmoid.
    """

    log_z: float
    linear: bool

    @classmethod
    def of(cls, network: Network) -> "OffsetError":
        """For networks like this one."""
        wave = network.grid.wave
        box = np.log(wave[1:] / wave[:-1]).max() * len(wave) / network.boxes
        return cls(float(SLACK * box), is_linear(network))


def is_linear(network: Network) -> bool:
    """Whether the heads of a network have no sigmoid."""
    return network.offset_activation is OffsetActivation.linear


def _logit(confidence: NDArray | np.floating, linear: bool) -> NDArray[np.float64]:
    from scipy.special import logit

    value = np.asarray(confidence, np.float64)
    if linear:
        return value.copy()
    finite: NDArray[np.float64] = logit(np.clip(value, _FLOOR, 1 - _FLOOR))
    return finite
