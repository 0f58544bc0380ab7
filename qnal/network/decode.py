"""Decoding of a network's output into line confidences and redshifts.

QuasarNET (Busca & Balland 2018) divides the wavelength grid into boxes. Per line, a head gives the
probability that the line lies in each box, and its position within the box, the offset. See
docs/formats.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qnal.lines import rest_wavelength
from qnal.spectra.grid import Grid


@dataclass(frozen=True)
class Lines:
    """Predictions of one network: line confidences and redshifts.

    Attributes:
        confidence: confidence of each line, shape [rows, lines].
        z: redshift by each line, shape [rows, lines].
        z_best: redshift by the most confident line, shape [rows].
        bal_confidence: confidence of each BAL head, shape [rows, BAL lines].
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
    """Decode the output of a network.

    The box ``j`` of the largest value, the confidence, and its offset give the observed wavelength
    of the line, ``λ((j + offset)·npix/boxes)``.

    Args:
        output: boxes and offsets, shape [rows, heads, 2, boxes].
        lines: names of the lines, the first heads.
        bal_lines: names of the BAL lines, the other heads.
        grid: wavelength grid of the spectra.
        clamp: clamp positions outside the grid, as QuasarNP does, instead of extrapolating, as
            QuasarNET does.

    Raises:
        ValueError: the number of heads is not that of the lines.
    """
    heads, boxes = output.shape[1], output.shape[3]
    if heads != len(lines) + len(bal_lines):
        raise ValueError(
            f"output has {heads} heads, but there are {len(lines)} lines and {len(bal_lines)} BAL "
            "lines."
        )
    best = output[:, :, 0].argmax(axis=2)[:, :, None]
    confidence = np.take_along_axis(output[:, :, 0], best, axis=2)[:, :, 0]
    offset = np.take_along_axis(output[:, :, 1], best, axis=2)[:, :, 0]
    position = best[:, :, 0] + offset.astype(np.float64)
    return decode_positions(confidence, position, boxes=boxes, lines=lines, grid=grid, clamp=clamp)


def decode_positions(
    confidence: NDArray[np.floating],
    position: NDArray[np.float64],
    *,
    boxes: int,
    lines: Sequence[str],
    grid: Grid,
    clamp: bool = False,
) -> Lines:
    """Decode the best box of each head.

    Args:
        confidence: value of the best box, shape [rows, heads], BAL heads last.
        position: number of the best box plus its offset, shape [rows, heads].
        boxes: number of boxes per head.
        lines, grid, clamp: see :func:`decode`.
    """
    count = len(lines)
    rest = np.array([rest_wavelength(name) for name in lines])
    z = grid.wavelength(position[:, :count] * (len(grid) / boxes), clamp) / rest - 1
    c = confidence[:, :count]
    z_best = np.take_along_axis(z, c.argmax(axis=1)[:, None], axis=1)[:, 0]
    return Lines(c, z, z_best, confidence[:, count:])


def box_position(
    redshift: float, *, boxes: int, lines: Sequence[str], grid: Grid
) -> NDArray[np.float64]:
    """Position of each line at a redshift, as box number plus offset, shape [lines]."""
    rest = np.array([rest_wavelength(name) for name in lines])
    pixel = grid.position(rest * (1 + redshift), extrapolate=True)
    return pixel * (boxes / len(grid))
