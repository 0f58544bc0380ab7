"""Combining members: votes, soft class probabilities, redshift and disagreement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.information import entropy, mutual_information
from qnal.lines import column_names
from qnal.network.decode import Lines

CLASSES = ("NOT", "QSO_LZ", "QSO_HZ")
MAD_TO_SIGMA = 1.4826  # standard deviation of a normal distribution, in units of its MAD


@dataclass(frozen=True)
class Thresholds:
    """When a member votes quasar, and for which of the two redshift classes.

    Attributes:
        line_threshold: a line counts if its confidence is above this value.
        min_lines: number of lines that must count for the member to vote quasar.
        high_z: redshift from which a quasar is QSO_HZ.
    """

    line_threshold: float = 0.95
    min_lines: int = 1
    high_z: float = 2.1


@dataclass(frozen=True)
class MemberPredictions:
    """Predictions of several members for the same spectra.

    Attributes:
        deciding: the confidence that decides a member's vote: its ``min_lines``-th largest line
            confidence, shape [rows, members], float32.
        z_best: redshift by the most confident line, shape [rows, members].
        confidence: line confidences, shape [rows, lines, members].
        z: redshift by each line, shape [rows, lines, members].
        bal: confidence of each BAL head, shape [rows, BAL lines, members].
    """

    deciding: NDArray[np.float32]
    z_best: NDArray[np.floating]
    confidence: NDArray[np.float32]
    z: NDArray[np.floating]
    bal: NDArray[np.float32]


def gather(lines: Sequence[Lines], thresholds: Thresholds) -> MemberPredictions:
    """Stack the decoded predictions of several members.

    Args:
        lines: predictions per member, for the same spectra.
        thresholds: ``min_lines`` selects the deciding confidence.
    """
    confidence = np.stack([m.confidence for m in lines], axis=-1).astype(np.float32)
    return MemberPredictions(
        np.sort(confidence, axis=1)[:, -thresholds.min_lines],
        np.stack([m.z_best for m in lines], axis=-1),
        confidence,
        np.stack([m.z for m in lines], axis=-1),
        np.stack([m.bal_confidence for m in lines], axis=-1).astype(np.float32),
    )


def votes(deciding: NDArray, z_best: NDArray, thresholds: Thresholds) -> NDArray[np.int8]:
    """Vote of each member, an index into :data:`CLASSES`, of the same shape as ``deciding``."""
    quasar = deciding > np.float32(thresholds.line_threshold)
    return quasar.astype(np.int8) + (quasar & (z_best >= thresholds.high_z))


def shares(vote: NDArray[np.int8]) -> NDArray[np.float64]:
    """Share of the members that vote for each class, shape [rows, 3]."""
    return np.stack([(vote == c).mean(axis=1) for c in range(len(CLASSES))], axis=1)


def soft_classes(
    deciding: NDArray,
    z_best: NDArray,
    thresholds: Thresholds,
    calibration: Calibration | None = None,
) -> NDArray[np.float64]:
    """Soft class probabilities of each member, shape [rows, members, 3].

    With c the deciding confidence, calibrated if there is a calibration, P(NOT) is 1 − c, and c is
    the probability of the class that ``z_best`` falls into. Confidences of linear heads can lie
    outside [0, 1] and are clipped to it.
    """
    c = np.clip(deciding.astype(np.float64), 0, 1)
    c = c if calibration is None else calibration(c)
    high = z_best >= thresholds.high_z
    return np.stack([1 - c, np.where(high, 0, c), np.where(high, c, 0)], axis=2)


def consensus_z(
    z_best: NDArray[np.floating], vote: NDArray[np.int8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Redshift of the ensemble and the members' scatter about it.

    Both are computed over the members that vote quasar, or over all members if none does.

    Returns:
        The lower median, which is the redshift of one of the members, and 1.4826 × the median of
        ``|Δz|/(1+z)`` about it; each of shape [rows].
    """
    counted = vote > 0
    counted |= ~counted.any(axis=1, keepdims=True)
    z_best = z_best.astype(np.float64)
    ordered = np.sort(np.where(counted, z_best, np.inf), axis=1)
    middle = (counted.sum(axis=1) - 1) // 2
    z = np.take_along_axis(ordered, middle[:, None], axis=1)[:, 0]
    deviation = np.abs(z_best - z[:, None]) / (1 + z[:, None])
    spread = np.nanmedian(np.where(counted, deviation, np.nan), axis=1)
    return z, MAD_TO_SIGMA * spread


def score_schema(lines: Sequence[str], bal_lines: Sequence[str]) -> pa.Schema:
    """Score columns of a table of spectra; docs/formats.md defines each of them."""
    names = [f"C_{c}" for c in CLASSES] + [f"P_{c}" for c in CLASSES]
    names += ["VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO", "Z", "Z_SPREAD"]
    names += [f"{what}_{line}" for line in column_names(lines) for what in ("C", "Z")]
    names += ["C_BAL"] if len(bal_lines) == 1 else [f"C_BAL_{n}" for n in column_names(bal_lines)]
    return pa.schema([(name, pa.float32()) for name in names])


def score_columns(
    predictions: MemberPredictions,
    thresholds: Thresholds,
    bal_trained: bool,
    calibration: Calibration | None = None,
) -> list[NDArray[np.float32] | None]:
    """Values of the columns of :func:`score_schema`, each of shape [rows].

    Args:
        predictions: predictions of all members.
        thresholds: when a member votes quasar.
        bal_trained: whether the BAL heads are trained; columns of untrained heads are None.
        calibration: applied to the deciding confidence before soft probabilities are averaged.
    """
    vote = votes(predictions.deciding, predictions.z_best, thresholds)
    share = shares(vote)
    soft = soft_classes(predictions.deciding, predictions.z_best, thresholds, calibration)
    mean = soft.mean(axis=1)
    z, spread = consensus_z(predictions.z_best, vote)
    columns = [*share.T, *mean.T, entropy(share), entropy(mean)]
    columns += [mutual_information(soft.swapaxes(0, 1)), z, spread]
    for line in range(predictions.z.shape[1]):
        columns += [
            predictions.confidence[:, line].mean(axis=1),
            np.median(predictions.z[:, line], axis=1),
        ]
    narrow: list[NDArray[np.float32] | None] = [c.astype(np.float32) for c in columns]
    for head in range(predictions.bal.shape[1]):
        bal = predictions.bal[:, head].mean(axis=1, dtype=np.float64).astype(np.float32)
        narrow.append(bal if bal_trained else None)
    return narrow
