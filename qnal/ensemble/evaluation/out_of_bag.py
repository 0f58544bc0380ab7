"""The members' answers on the labelled spectra that they have not seen, side by side."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.votes import CLASSES, Thresholds, consensus_z, votes

ABSENT = -1  # the vote of a member that may not answer


@dataclass(frozen=True)
class OutOfBag:
    """Answers of members that were trained on no exposure of the target, NaN for the others.

    Attributes:
        deciding: confidence that decides the vote, shape [rows, members], float32.
        z_best: redshift by the most confident line, same shape.
        bal: confidence of the BAL head, same shape; NaN throughout where there is none.
    """

    deciding: NDArray[np.float32]
    z_best: NDArray[np.float64]
    bal: NDArray[np.float32]

    @classmethod
    def of(cls, members: Iterable[pd.DataFrame], rows: int) -> "OutOfBag":
        """From one table a member, with INDEX (row of the training set), DECIDING, Z_BEST and BAL.

        Args:
            members: the tables; BAL may be absent.
            rows: length of the training set.
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
    def answered(self) -> NDArray[np.bool_]:
        """Which members may answer for which spectra, shape [rows, members]."""
        return ~np.isnan(self.deciding)

    def rows(self, which: NDArray) -> "OutOfBag":
        """The answers on some spectra (indices or a mask)."""
        return OutOfBag(self.deciding[which], self.z_best[which], self.bal[which])

    def votes(self, thresholds: Thresholds) -> NDArray[np.int8]:
        """Votes of the members, :data:`ABSENT` where one may not answer, shape [rows, members]."""
        vote = votes(self.deciding, self.z_best, thresholds)
        vote[~self.answered] = ABSENT
        return vote

    def answer(self, thresholds: Thresholds) -> pd.DataFrame:
        """The majority vote of the members that may answer.

        Returns:
            One row a spectrum: MEMBERS (how many answered), SHARE (of them that vote quasar),
            QUASAR (more than half do; of a tie, whether their mean confidence is above a half,
            which is the class of the larger mean soft probability), Z (NaN where no member may
            answer), CLASS (of :data:`~qnal.ensemble.votes.CLASSES`, by QUASAR and Z; empty where
            no member may answer) and C_BAL (mean confidence of the BAL head).
        """
        answered, vote = self.answered, self.votes(thresholds)
        count = answered.sum(axis=1)
        share = over((vote > 0).sum(axis=1), count)
        mean_confidence = over(np.nansum(self.deciding, axis=1, dtype=np.float64), count)
        quasar = majority(share, mean_confidence)
        z = np.full(len(vote), np.nan)
        for size in np.unique(count[count > 0]):
            of_size = np.flatnonzero(count == size)  # rows that as many members answer for
            picked = answered[of_size]
            shape = (len(of_size), size)
            z[of_size], _ = consensus_z(
                self.z_best[of_size][picked].reshape(shape), vote[of_size][picked].reshape(shape)
            )
        kind = np.where(quasar, np.where(z >= thresholds.high_z, 2, 1), 0)
        return pd.DataFrame(
            {
                "MEMBERS": count,
                "SHARE": share,
                "QUASAR": quasar,
                "Z": z,
                "CLASS": np.where(count > 0, np.array(CLASSES)[kind], ""),
                "C_BAL": over(np.nansum(self.bal, axis=1, dtype=np.float64), count)
                if not np.isnan(self.bal).all()
                else np.nan,
            }
        )

    def probabilities(
        self, thresholds: Thresholds, calibration: Calibration | None = None
    ) -> NDArray[np.float64]:
        """Mean soft class probabilities of the members that may answer, shape [rows, 3].

        NaN where none may. :func:`~qnal.ensemble.votes.soft_classes` defines a member's.
        """
        low, high = self.soft_quasar(thresholds, calibration)
        count = self.answered.sum(axis=1)
        return with_rest(over(low.sum(axis=1), count), over(high.sum(axis=1), count))

    def soft_quasar(
        self, thresholds: Thresholds, calibration: Calibration | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each member's probability of QSO_LZ and of QSO_HZ, shape [rows, members].

        0 where a member may not answer.
        """
        c = np.clip(self.deciding.astype(np.float64), 0, 1)
        c = np.where(self.answered, c if calibration is None else calibration(c), 0)
        high = self.z_best >= thresholds.high_z
        return np.where(high, 0, c), np.where(high, c, 0)


def majority(share: NDArray, mean_confidence: NDArray) -> NDArray[np.bool_]:
    """Whether a majority says quasar; few may answer, so ties are common, and no votes for NOT."""
    return (share > 0.5) | ((share == 0.5) & (mean_confidence > 0.5))


def with_rest(low: NDArray, high: NDArray) -> NDArray[np.float64]:
    """Probabilities of NOT, QSO_LZ and QSO_HZ from those of the latter two, one axis more."""
    return np.stack([np.maximum(1 - low - high, 0), low, high], axis=-1)


def over(total: ArrayLike, count: ArrayLike) -> NDArray[np.float64]:
    """``total / count``, NaN where that is 0."""
    total, count = np.asarray(total), np.asarray(count)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
