"""The cells of a map, and how far apart they lie on it."""

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int]
Wrap = tuple[bool, bool]

ADJACENT = np.sqrt(2) + 1e-9  # a cell touches eight others, diagonals included


def separations(shape: Shape, wrap: Wrap = (True, True)) -> NDArray[np.float64]:
    """Euclidean distances between all cells of a rectangular map.

    Args:
        shape: (rows, columns); cell ``k`` is at row ``k // columns``, column ``k % columns``.
        wrap: whether rows and columns close on themselves (both: a torus).

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
    """A Gaussian of the separation of two cells, as its factors for rows and for columns.

    Args:
        width: standard deviation of the Gaussian, cells.

    Returns:
        Arrays [rows, rows] and [columns, columns], 1 on the diagonals.
    """
    rows, columns = (
        np.exp(-0.5 * (_along(*axis) / width) ** 2) for axis in zip(shape, wrap, strict=True)
    )
    return rows, columns


def spread_out(
    values: NDArray[np.number], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sums over all cells of their ``values``, weighted by a ``neighbourhood``.

    Args:
        values: shape [cells, k].

    Returns:
        Array [cells, k]. One axis of the map after the other: rows + columns terms a cell
        instead of rows × columns.
    """
    cube = np.asarray(values, np.float64).reshape(len(rows), len(columns), -1)
    spread = np.tensordot(rows, columns @ cube, 1)
    return np.asarray(spread.reshape(values.shape), np.float64)


def _along(length: int, closed: bool) -> NDArray[np.int64]:
    """Distances along one axis, shape [length, length]."""
    along = np.abs(np.arange(length)[:, None] - np.arange(length))
    return np.minimum(along, length - along) if closed else along


def u_matrix(
    weights: NDArray[np.floating], shape: Shape, wrap: Wrap = (True, True)
) -> NDArray[np.float64]:
    """Mean distance of each cell's spectrum from those of its (up to four) next cells.

    Args:
        weights: the cells' spectra, shape [cells, npix].

    Returns:
        Array [rows, columns]: ridges separate regions of unlike spectra.

    Source: Ultsch & Siemon 1990.
    """
    cube = np.asarray(weights, np.float64).reshape(*shape, -1)
    total, neighbours = np.zeros(shape), np.zeros(shape)
    for axis in (0, 1):
        length = shape[axis]
        step = np.linalg.norm(np.roll(cube, -1, axis) - cube, axis=-1)
        exists = np.ones(length, bool)
        # A ring of two has one neighbour twice, which the mean bears; a ring of one has none.
        exists[-1] = wrap[axis] and length > 1
        present = np.broadcast_to(exists[:, None] if axis == 0 else exists[None, :], shape)
        step = np.where(present, step, 0.0)
        total += step + np.roll(step, 1, axis)
        neighbours += present.astype(float) + np.roll(present, 1, axis)
    return total / np.maximum(neighbours, 1)
