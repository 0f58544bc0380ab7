"""Fit a SOM by batch updates (Kohonen 1995, *Self-Organizing Maps*, sec. 3.6).

The width of the neighbourhood function shrinks from more than the extent of the SOM to about one
cell. The early passes, which only order the cells, use a new random tenth of the spectra each. This
is faster than using all spectra, and the SOM is better ordered, because the changing subsamples
help it out of folded configurations (experiments/benchmarks/som.py).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.som.bmu import chunks, find_bmus
from qnal.som.topology import Shape, Wrap, neighbourhood, separations, smooth

INITIAL_WIDTH = 1.5  # of the neighbourhood function, in mean separations of the cells
# Final width: at least FINAL_WIDTH cells and the mean separation divided by FINAL_DIVISOR. Smaller
# widths fit noise and fold the SOM.
FINAL_WIDTH, FINAL_DIVISOR = 0.64, 17
SUBSAMPLE = 0.1  # fraction of the spectra used per pass in the first half, which then grows to 1 …
SPECTRA_PER_CELL = 2  # … and at least this many spectra per cell


def fit(
    x: NDArray[np.floating],
    shape: Shape,
    wrap: Wrap,
    *,
    seed: int,
    epochs: int,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit the weights of a SOM.

    Each pass replaces the weights of every cell by the mean of the spectra, weighted by a Gaussian
    of the separation between the cell and their BMUs. The width of the Gaussian shrinks
    geometrically.

    Args:
        x: spectra, shape [n, npix].
        shape: (rows, columns).
        wrap: whether the rows and the columns are periodic.
        seed: seed of the initial weights and of the subsamples.
        epochs: number of passes.
        progress: called after each pass with its index and its loss.

    Returns:
        Weights, float64 [cells, npix], and the loss of each pass, float64 [epochs]: the mean
        distance of its spectra from their BMUs before the update.

    Raises:
        ConfigError: ``shape`` or ``epochs`` is below 1.
        InputError: there are no spectra, or some have pixels that are not finite.
    """
    if min(*shape, epochs) < 1:
        raise ConfigError(
            f"som.shape {shape[0]}x{shape[1]} and som.epochs {epochs} must be at least 1."
        )
    mean, std = _moments(x)
    random = np.random.default_rng(seed)
    cells = shape[0] * shape[1]
    weights = mean + std * random.standard_normal((cells, x.shape[1]))
    loss = np.empty(epochs)
    steps = zip(_widths(shape, wrap, epochs), _sizes(len(x), cells, epochs), strict=True)
    for i, (width, size) in enumerate(steps):
        some = x if size == len(x) else x[np.sort(random.choice(len(x), size, replace=False))]
        bmu, distance = find_bmus(some, weights)
        loss[i] = distance.mean(dtype=np.float64)
        near = neighbourhood(shape, wrap, width)
        count = smooth(np.bincount(bmu, minlength=cells)[:, None], *near)
        # Where the Gaussian underflows for all spectra, the cell keeps its weights.
        moved = count[:, 0] > 1e-100
        weights[moved] = smooth(_sums(some, bmu, cells), *near)[moved] / count[moved]
        if progress is not None:
            progress(i, float(loss[i]))
    return weights, loss


def _widths(shape: Shape, wrap: Wrap, epochs: int) -> NDArray[np.float64]:
    """Width of the neighbourhood function in each pass, cells."""
    mean = float(separations(shape, wrap).mean())
    final = max(FINAL_WIDTH, mean / FINAL_DIVISOR)
    initial = max(INITIAL_WIDTH * mean, final)
    return np.asarray(initial * (final / initial) ** _progress(epochs))


def _sizes(n: int, cells: int, epochs: int) -> NDArray[np.int64]:
    """Number of spectra used in each pass."""
    fraction = SUBSAMPLE ** np.minimum(1, 2 * (1 - _progress(epochs)))
    return np.clip(np.ceil(fraction * n), min(n, SPECTRA_PER_CELL * cells), n).astype(np.int64)


def _progress(epochs: int) -> NDArray[np.float64]:
    """Progress of the fit at each pass, from 0 to 1; 1 for a single pass."""
    return np.linspace(0, 1, epochs) if epochs > 1 else np.ones(1)


def _moments(x: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each pixel; InputError unless all spectra are finite."""
    if x.ndim != 2 or not x.size:
        raise InputError(f"a SOM is fitted to spectra of shape [n, pixels], not {list(x.shape)}.")
    bad, total, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for rows in chunks(len(x), x.shape[1]):
        bad += int((~np.isfinite(x[rows]).all(axis=1)).sum())
        total += x[rows].sum(axis=0, dtype=np.float64)
        squares += np.einsum("ij,ij->j", x[rows], x[rows], dtype=np.float64)
    if bad:
        raise InputError(
            f"{bad} of {len(x)} spectra have pixels that are not finite; exclude them from the fit."
        )
    mean = total / len(x)
    return mean, np.sqrt(np.maximum(squares / len(x) - mean**2, 0.0))


def _sums(x: NDArray[np.floating], bmu: NDArray[np.int32], cells: int) -> NDArray[np.float64]:
    """Sum of the spectra of each cell, shape [cells, npix]."""
    sums = np.zeros((cells, x.shape[1]))
    for rows in chunks(len(x), x.shape[1]):
        order = np.argsort(bmu[rows], kind="stable")
        occupied, starts = np.unique(bmu[rows][order], return_index=True)
        sums[occupied] += np.add.reduceat(x[rows][order], starts, axis=0, dtype=np.float64)
    return sums
