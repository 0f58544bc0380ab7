"""Topology of a SOM: positions of the cells and the distances between them."""

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
Wrap = tuple[bool, bool]

ADJACENT = np.sqrt(2) + 1e-9  # a cell is adjacent to eight others, including diagonal ones


def separations(shape: Shape, wrap: Wrap = (True, True)) -> NDArray[np.float64]:
    """Euclidean distances between the positions of all cells.

    Args:
        shape: (rows, columns); cell ``k`` is at row ``k // columns``, column ``k % columns``.
        wrap: whether the rows and the columns are periodic (both: a torus).

    Returns:
        Array [cells, cells], in units of one cell.

    Source: SOMVIZ ``Grid`` with metric L2.
    """
    rows, columns = (_along(*axis) ** 2 for axis in zip(shape, wrap, strict=True))
    cells = shape[0] * shape[1]
    both = rows[:, None, :, None] + columns[None, :, None, :]
    return np.asarray(np.sqrt(both.reshape(cells, cells)), np.float64)


def neighbourhood(
    shape: Shape, wrap: Wrap, width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian of the separation of two cells, as a product of factors for rows and columns.

    Args:
        shape: (rows, columns).
        wrap: whether the rows and the columns are periodic.
        width: standard deviation of the Gaussian, cells.

    Returns:
        Arrays [rows, rows] and [columns, columns], 1 on the diagonals.
    """
    rows, columns = (
        np.exp(-0.5 * (_along(*axis) / width) ** 2) for axis in zip(shape, wrap, strict=True)
    )
    return rows, columns


def smooth(
    values: NDArray[np.number], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum the values of all cells, weighted by a :func:`neighbourhood`.

    The sum is done along one axis after the other, which takes rows + columns terms per cell
    instead of rows × columns.

    Args:
        values: values of the cells, shape [cells, k].
        rows: factor for the rows, shape [rows, rows].
        columns: factor for the columns, shape [columns, columns].

    Returns:
        Array [cells, k].
    """
    cube = np.asarray(values, np.float64).reshape(len(rows), len(columns), -1)
    smoothed = np.tensordot(rows, columns @ cube, 1)
    return np.asarray(smoothed.reshape(values.shape), np.float64)


def _along(length: int, periodic: bool) -> NDArray[np.int64]:
    """Distances along one axis, shape [length, length]."""
    along = np.abs(np.arange(length)[:, None] - np.arange(length))
    return np.minimum(along, length - along) if periodic else along


def u_matrix(
    weights: NDArray[np.floating], shape: Shape, wrap: Wrap = (True, True)
) -> NDArray[np.float64]:
    """Mean distance of each cell's prototype from those of its (up to four) direct neighbours.

    Args:
        weights: prototype spectra of the cells, shape [cells, npix].
        shape: (rows, columns).
        wrap: whether the rows and the columns are periodic.

    Returns:
        Array [rows, columns]; high values separate regions of dissimilar spectra.

    Source: Ultsch & Siemon 1990.
    """
    cube = np.asarray(weights, np.float64).reshape(*shape, -1)
    total, neighbours = np.zeros(shape), np.zeros(shape)
    for axis in (0, 1):
        length = shape[axis]
        step = np.linalg.norm(np.roll(cube, -1, axis) - cube, axis=-1)
        exists = np.ones(length, bool)
        # On a periodic axis of length 2 a cell has the same neighbour twice, which does not change
        # the mean; on one of length 1 it has none.
        exists[-1] = wrap[axis] and length > 1
        present = np.broadcast_to(exists[:, None] if axis == 0 else exists[None, :], shape)
        step = np.where(present, step, 0.0)
        total += step + np.roll(step, 1, axis)
        neighbours += present.astype(float) + np.roll(present, 1, axis)
    return total / np.maximum(neighbours, 1)
