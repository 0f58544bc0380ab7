"""What an inspector said a spectrum is."""

from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray


class Label(IntEnum):
    """Classes of QuasarNET's training sets; the numbers are the columns of its label vector."""

    STAR = 0
    GALAXY = 1
    QSO_LZ = 2
    QSO_HZ = 3
    BAD = 4


class BadRows(StrEnum):
    """What becomes of spectra of which no inspector was confident."""

    negative = "negative"
    drop = "drop"


def is_quasar(label: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which labels are confident quasars of either redshift class."""
    return (label == Label.QSO_LZ) | (label == Label.QSO_HZ)


def labels(
    spectype: NDArray[np.str_],
    z: NDArray[np.floating],
    confident: NDArray[np.bool_],
    high_z: float,
) -> NDArray[np.int8]:
    """Labels from STAR, GALAXY or QSO, the redshift and whether the inspector was confident.

    A quasar from redshift ``high_z`` on is QSO_HZ; whatever is not confident is BAD.
    """
    return np.select(
        [~confident, spectype == "STAR", spectype == "GALAXY", z < high_z],
        [Label.BAD, Label.STAR, Label.GALAXY, Label.QSO_LZ],
        Label.QSO_HZ,
    ).astype(np.int8)
