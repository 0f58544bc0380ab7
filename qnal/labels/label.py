"""The classes of labelled spectra."""

from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray


class Label(IntEnum):
    """Class of a labelled spectrum; the numbers are the columns of QuasarNET's label vector.

    QSO_LZ and QSO_HZ are quasars below and from the redshift ``high_z`` on; BAD is a spectrum that
    inspectors could not classify confidently.
    """

    STAR = 0
    GALAXY = 1
    QSO_LZ = 2
    QSO_HZ = 3
    BAD = 4


class BadRows(StrEnum):
    """Use of BAD spectra in training: as examples of non-quasars, or not at all."""

    negative = "negative"
    drop = "drop"


def is_quasar(label: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which labels are quasars of either redshift class."""
    return (label == Label.QSO_LZ) | (label == Label.QSO_HZ)


def labels(
    spectype: NDArray[np.str_],
    z: NDArray[np.floating],
    confident: NDArray[np.bool_],
    high_z: float,
) -> NDArray[np.int8]:
    """The :class:`Label` of each spectrum.

    Args:
        spectype: STAR, GALAXY or QSO where ``confident``, shape [n].
        z: redshifts, shape [n].
        confident: whether the inspectors were confident, shape [n].
        high_z: redshift from which a quasar is QSO_HZ.

    Returns:
        Shape [n].
    """
    return np.select(
        [~confident, spectype == "STAR", spectype == "GALAXY", z < high_z],
        [Label.BAD, Label.STAR, Label.GALAXY, Label.QSO_LZ],
        Label.QSO_HZ,
    ).astype(np.int8)
