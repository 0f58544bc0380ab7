"""Fitting a map by batch updates (Kohonen 1995, *Self-Organizing Maps*, sec. 3.6).

The neighbourhood shrinks from wider than the map to about a cell. The passes while it is wide only
order the map, for which some of the spectra are enough: a tenth of them, others in each pass. That
is cheaper, and the map comes out better ordered than from all spectra in every pass, because the
changing samples shake it out of folds (experiments/benchmarks/som.py).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.som.bmu import chunks, find_bmus
from qnal.som.topology import Shape, Wrap, neighbourhood, separations, spread_out

WIDEST = 1.5  # first width of the neighbourhood, mean separations of the cells
NARROWEST = 0.64  # last width, cells: narrower ones fit noise and fold the map …
OF_THE_MAP = 17  # … and so they do on a large map below this part of the mean separation
ENOUGH = 0.1  # share of the spectra in each pass of the first half; it then grows to all
ENOUGH_A_CELL = 2  # but never fewer than this many for each cell


def fit(
    x: NDArray[np.floating],
    shape: Shape,
    wrap: Wrap,
    *,
    seed: int,
    epochs: int,
    progress: Callable[[int, float], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cells fitted to spectra.

    In each pass every cell becomes the mean of the spectra, weighted by a Gaussian of the
    separation between it and their best cells, whose width shrinks geometrically.

    Args:
        x: spectra, shape [n, npix].
        epochs: passes.
        progress: called after each pass with its number from 0 and its loss.

    Returns:
        Weights, shape [cells, npix], and the mean distance of the spectra of each pass from their
        best cells before it, shape [epochs].

    Raises:
        ConfigError: ``shape`` or ``epochs`` below 1.
        InputError: no spectra, or spectra with pixels that are not finite.
    """
    if min(*shape, epochs) < 1:
        raise ConfigError(
            f"som.shape {shape[0]}x{shape[1]} and som.epochs {epochs} must be at least 1"
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
        count = spread_out(np.bincount(bmu, minlength=cells)[:, None], *near)
        # A cell so far from all spectra that the Gaussian has underflowed stays as it is.
        moved = count[:, 0] > 1e-100
        weights[moved] = spread_out(_sums(some, bmu, cells), *near)[moved] / count[moved]
        if progress is not None:
            progress(i, float(loss[i]))
    return weights, loss


def _widths(shape: Shape, wrap: Wrap, epochs: int) -> NDArray[np.float64]:
    """Width of the neighbourhood in each pass, cells."""
    mean = float(separations(shape, wrap).mean())
    narrowest = max(NARROWEST, mean / OF_THE_MAP)
    widest = max(WIDEST * mean, narrowest)
    return np.asarray(widest * (narrowest / widest) ** _progress(epochs))


def _sizes(n: int, cells: int, epochs: int) -> NDArray[np.int64]:
    """How many of ``n`` spectra each pass takes."""
    share = ENOUGH ** np.minimum(1, 2 * (1 - _progress(epochs)))
    return np.clip(np.ceil(share * n), min(n, ENOUGH_A_CELL * cells), n).astype(np.int64)


def _progress(epochs: int) -> NDArray[np.float64]:
    """From 0 in the first pass to 1 in the last; a single pass is the last."""
    return np.linspace(0, 1, epochs) if epochs > 1 else np.ones(1)


def _moments(x: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each pixel, of spectra that are all finite."""
    if x.ndim != 2 or not x.size:
        raise InputError(f"a map needs spectra of shape [n, pixels], not {list(x.shape)}")
    bad, total, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for rows in chunks(len(x), x.shape[1]):
        bad += int((~np.isfinite(x[rows]).all(axis=1)).sum())
        total += x[rows].sum(axis=0, dtype=np.float64)
        squares += np.einsum("ij,ij->j", x[rows], x[rows], dtype=np.float64)
    if bad:
        raise InputError(
            f"{bad} of {len(x)} spectra have pixels that are not finite; leave them out of the fit"
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
