"""Training targets of labelled spectra; :mod:`qnal.network.decode` is the inverse."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.labels.label import is_quasar
from qnal.lines import rest_wavelength
from qnal.spectra.grid import Grid


@dataclass(frozen=True)
class Targets:
    """Box and offset targets of each head, and the weight of each row.

    Attributes:
        boxes: 1 in the box that contains the line, else 0; shape [rows, heads, boxes], float32.
        offsets: position of the line within its box, from 0 to 1; shape [rows, heads, boxes]. Only
            entries where ``boxes`` is 1 are used.
        weights: shape [rows, heads]; 0 if the label is unknown, as for ambiguous BALs.
    """

    boxes: NDArray[np.float32]
    offsets: NDArray[np.float32]
    weights: NDArray[np.float32]


def targets(
    label: NDArray[np.integer],
    z: NDArray[np.floating],
    bal: NDArray[np.integer],
    *,
    lines: Sequence[str],
    bal_lines: Sequence[str],
    boxes: int,
    grid: Grid,
) -> Targets:
    """Targets of labelled spectra, with one head per line and then one per BAL line.

    A line is at position ``i(λ_rest(1+z)) / npix · boxes``, with ``i`` the fractional grid index.
    Spectra that are not quasars and lines outside the grid have no box. In a BAL head, non-BALs
    have no box either, and rows with an unknown BAL label have no weight.

    Args:
        label: :class:`~qnal.labels.label.Label` of each row, shape [rows].
        z: redshift, shape [rows]; ignored for rows that are not quasars.
        bal: +1 BAL, −1 non-BAL, 0 unknown, shape [rows].
        lines, bal_lines: names of the lines.
        boxes: number of boxes per head.
        grid: wavelength grid of the spectra.
    """
    rows, heads = len(label), len(lines) + len(bal_lines)
    box = np.zeros((rows, heads, boxes), np.float32)
    offset = np.zeros_like(box)
    weight = np.ones((rows, heads), np.float32)
    quasar = is_quasar(label)
    for head, name in enumerate([*lines, *bal_lines]):
        with np.errstate(invalid="ignore"):
            position = grid.position(rest_wavelength(name) * (1 + z)) / len(grid) * boxes
        has_line = quasar & np.isfinite(position)
        if head >= len(lines):
            has_line &= bal != -1
            weight[:, head] = bal != 0
        row = np.flatnonzero(has_line)
        index = np.floor(position[row]).astype(int)
        box[row, head, index] = 1
        offset[row, head, index] = position[row] - index
    return Targets(box, offset, weight)
