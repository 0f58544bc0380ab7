"""From a network's boxes to confidences and redshifts of lines (FORMATS.md section 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.lines import rest_wavelength
from qnal.spectra.grid import Grid


@dataclass(frozen=True)
class Lines:
    """What one network says of each spectrum.

    Attributes:
        confidence: of each line, shape [rows, lines].
        z: redshift by each line, shape [rows, lines].
        z_best: redshift by the most confident line, shape [rows].
        bal_confidence: of each BAL line, shape [rows, BAL lines].
    """

    confidence: NDArray[np.floating]
    z: NDArray[np.floating]
    z_best: NDArray[np.floating]
    bal_confidence: NDArray[np.floating]


def decode(
    output: NDArray[np.floating],
    *,
    lines: Sequence[str],
    bal_lines: Sequence[str],
    grid: Grid,
    clamp: bool = False,
) -> Lines:
    """Confidences and redshifts from the output of a network.

    The best box ``j`` of a head and its offset give the observed wavelength
    ``λ((j + offset)·npix/boxes)``; its value is the confidence.

    Args:
        output: boxes and offsets, shape [rows, heads, 2, boxes].
        lines: names of the first heads, ``bal_lines`` of the others.
        grid: the grid the network was trained on.
        clamp: clamp positions beyond the grid as QuasarNP does; QuasarNET extrapolates.
    """
    heads, boxes = output.shape[1], output.shape[3]
    if heads != len(lines) + len(bal_lines):
        raise ValueError(f"{heads} heads do not fit {len(lines)} lines and {len(bal_lines)} BAL.")
    best = output[:, :, 0].argmax(axis=2)[:, :, None]
    confidence = np.take_along_axis(output[:, :, 0], best, axis=2)[:, :, 0]
    offset = np.take_along_axis(output[:, :, 1], best, axis=2)[:, :, 0]
    place = best[:, :, 0] + offset.astype(np.float64)
    return located(confidence, place, boxes=boxes, lines=lines, grid=grid, clamp=clamp)


def located(
    confidence: NDArray[np.floating],
    place: NDArray[np.float64],
    *,
    boxes: int,
    lines: Sequence[str],
    grid: Grid,
    clamp: bool = False,
) -> Lines:
    """Redshifts from the best box of every head and its offset.

    Args:
        confidence: value of the best box, shape [rows, heads], BAL heads last.
        place: its number plus its offset, same shape.
        boxes: number of boxes of a head.
        lines: names of the first heads.
        grid, clamp: as in :func:`decode`.
    """
    count = len(lines)
    rest = np.array([rest_wavelength(name) for name in lines])
    z = grid.wavelength(place[:, :count] * (len(grid) / boxes), clamp) / rest - 1
    c = confidence[:, :count]
    z_best = np.take_along_axis(z, c.argmax(axis=1)[:, None], axis=1)[:, 0]
    return Lines(c, z, z_best, confidence[:, count:])


def place_of(
    redshift: float, *, boxes: int, lines: Sequence[str], grid: Grid
) -> NDArray[np.float64]:
    """Where a head puts its line at a redshift: box number plus offset, shape [lines]."""
    rest = np.array([rest_wavelength(name) for name in lines])
    position = grid.position(rest * (1 + redshift), extrapolate=True)
    return position * (boxes / len(grid))
