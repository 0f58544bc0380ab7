"""Out-of-bag predictions: for each labelled spectrum, those of the members not trained on it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from qnal.ensemble.votes import CLASSES, Thresholds, consensus_z, votes

# Calibrated confidences of shape [rows, members] from raw ones; NaN stays NaN.
Calibrate = Callable[[NDArray[np.floating]], NDArray[np.float64]]
ABSENT = -1  # vote of a member whose bag contains the target


@dataclass(frozen=True)
class OutOfBag:
    """Predictions of several members for the labelled spectra.

    A member's predictions for targets of which its bag contains an exposure are NaN.

    Attributes:
        deciding: confidence that decides the vote, shape [rows, members], float32.
        z_best: redshift by the most confident line, shape [rows, members].
        bal: confidence of the BAL head, shape [rows, members]; all NaN without a BAL head.
    """

    deciding: NDArray[np.float32]
    z_best: NDArray[np.float64]
    bal: NDArray[np.float32]

    @classmethod
    def of(cls, members: Iterable[pd.DataFrame], rows: int) -> "OutOfBag":
        """Collect the predictions of several members.

        Args:
            members: one table per member, with columns INDEX (row of the labelled set), DECIDING,
                Z_BEST and optionally BAL.
            rows: length of the labelled set.
        """
        parts = []
        for table in members:
            part = np.full((3, rows), np.nan)
            index = table["INDEX"].to_numpy()
            part[0, index], part[1, index] = table["DECIDING"], table["Z_BEST"]
            if "BAL" in table:
                part[2, index] = table["BAL"]
            parts.append((part[0].astype(np.float32), part[1], part[2].astype(np.float32)))
        if not parts:
            empty = np.zeros((rows, 0))
            return cls(empty.astype(np.float32), empty, empty.astype(np.float32))
        deciding, z_best, bal = zip(*parts, strict=True)
        return cls(np.stack(deciding, axis=1), np.stack(z_best, axis=1), np.stack(bal, axis=1))

    @property
    def available(self) -> NDArray[np.bool_]:
        """Which members have a prediction for which spectra, shape [rows, members]."""
        return ~np.isnan(self.deciding)

    def rows(self, which: NDArray) -> "OutOfBag":
        """The predictions for some spectra (indices or a mask)."""
        return OutOfBag(self.deciding[which], self.z_best[which], self.bal[which])

    def votes(self, thresholds: Thresholds) -> NDArray[np.int8]:
        """Votes of the members, :data:`ABSENT` without a prediction, shape [rows, members]."""
        vote = votes(self.deciding, self.z_best, thresholds)
        vote[~self.available] = ABSENT
        return vote

    def combined(self, thresholds: Thresholds) -> pd.DataFrame:
        """The ensemble's out-of-bag prediction: the majority vote of the available members.

        Returns:
            One row per spectrum, with columns MEMBERS (number of members with a prediction), SHARE
            (share of them that vote quasar), QUASAR (see :func:`majority`), Z (NaN without a
            prediction), CLASS (one of :data:`~qnal.ensemble.votes.CLASSES`, by QUASAR and Z; empty
            without a prediction) and C_BAL (mean confidence of the BAL head).
        """
        available, vote = self.available, self.votes(thresholds)
        count = available.sum(axis=1)
        share = ratio((vote > 0).sum(axis=1), count)
        z = np.full(len(vote), np.nan)
        for size in np.unique(count[count > 0]):
            same_count = np.flatnonzero(count == size)
            picked = available[same_count]
            shape = (len(same_count), size)
            z[same_count], _ = consensus_z(
                self.z_best[same_count][picked].reshape(shape),
                vote[same_count][picked].reshape(shape),
            )
        quasar = majority(share, self.mean_confidence())
        kind = np.where(quasar, np.where(z >= thresholds.high_z, 2, 1), 0)
        has_bal = not np.isnan(self.bal).all()
        return pd.DataFrame(
            {
                "MEMBERS": count,
                "SHARE": share,
                "QUASAR": quasar,
                "Z": z,
                "CLASS": np.where(count > 0, np.array(CLASSES)[kind], ""),
                "C_BAL": _mean(self.bal, count) if has_bal else np.nan,
            }
        )

    def mean_confidence(self) -> NDArray[np.float64]:
        """Mean deciding confidence of the available members, shape [rows]."""
        return _mean(self.deciding, self.available.sum(axis=1))

    def probabilities(
        self, thresholds: Thresholds, calibration: Calibrate | None = None
    ) -> NDArray[np.float64]:
        """Mean soft class probabilities of the available members, shape [rows, 3].

        NaN without a prediction. :func:`~qnal.ensemble.votes.soft_classes` defines those of one
        member.
        """
        low, high = self.soft_quasar(thresholds, calibration)
        count = self.available.sum(axis=1)
        return with_rest(ratio(low.sum(axis=1), count), ratio(high.sum(axis=1), count))

    def soft_quasar(
        self, thresholds: Thresholds, calibration: Calibrate | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each member's probabilities of QSO_LZ and of QSO_HZ, shape [rows, members].

        They are 0 without a prediction.
        """
        c = np.clip(self.deciding.astype(np.float64), 0, 1)
        c = np.where(self.available, c if calibration is None else calibration(c), 0)
        high = self.z_best >= thresholds.high_z
        return np.where(high, 0, c), np.where(high, c, 0)


def majority(share: NDArray, mean_confidence: NDArray) -> NDArray[np.bool_]:
    """Whether more than half of the members vote quasar, shape [rows].

    Few members have a prediction for a spectrum, so ties are common: they are decided by whether
    the mean confidence is above 0.5, that is, by the larger mean soft probability.
    """
    return (share > 0.5) | ((share == 0.5) & (mean_confidence > 0.5))


def with_rest(low: NDArray, high: NDArray) -> NDArray[np.float64]:
    """Probabilities of NOT, QSO_LZ and QSO_HZ, along a new last axis, from those of the quasars."""
    return np.stack([np.maximum(1 - low - high, 0), low, high], axis=-1)


def ratio(total: ArrayLike, count: ArrayLike) -> NDArray[np.float64]:
    """``total / count``, NaN where ``count`` is 0."""
    total, count = np.asarray(total), np.asarray(count)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)


def _mean(values: NDArray, count: NDArray) -> NDArray[np.float64]:
    return ratio(np.nansum(values, axis=1, dtype=np.float64), count)
