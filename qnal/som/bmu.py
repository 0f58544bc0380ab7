"""Best-matching units (BMUs) of spectra.

A float32 matrix product selects the cells that can be the closest within a bound on its rounding
error; distances in float64 decide between those few. The BMUs are therefore independent of the
precision, the library and the number of threads of the product.
"""

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 22  # size of a block of distances, which fits into the processor's cache


def find_bmus(
    x: NDArray[np.floating], weights: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Find the closest cell of each spectrum and its distance; of equally close cells the first.

    Args:
        x: spectra, shape [n, npix].
        weights: prototype spectra of the cells, shape [cells, npix].

    Returns:
        Cells, int32 [n], and Euclidean distances, float32 [n]; −1 and NaN for a spectrum with
        pixels that are not finite.
    """
    bmu, distance = np.full(len(x), -1, np.int32), np.full(len(x), np.nan, np.float32)
    cells = len(weights)
    norms = np.einsum("ij,ij->i", weights, weights, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(-2 * weights.T, np.float32)
        single_norms = norms.astype(np.float32)
    longest = np.sqrt(norms.max())
    # The rounding error of a dot product of n terms is at most n/2 ulp of |x||w| (Higham 2002,
    # eq. 3.5). The product is doubled, both sides of a comparison have errors, and the inputs are
    # rounded as well.
    slack = 4 * (weights.shape[1] + 8) * np.finfo(np.float32).eps / 2
    for rows in chunks(len(x), cells):
        chunk = np.asarray(x[rows])
        where = np.arange(rows.start, rows.stop)
        finite = np.isfinite(chunk).all(axis=1)
        if not finite.all():
            chunk, where = chunk[finite], where[finite]
        if not len(chunk):
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            narrow = chunk.astype(np.float32, copy=False)
            product = narrow @ single
            product += single_norms
            # The factor 1.001 covers the rounding error of the float32 lengths.
            lengths = 1.001 * np.sqrt(np.einsum("ij,ij->i", narrow, narrow).astype(np.float64))
            reach = product.min(axis=1) + slack * longest * (lengths + longest)
            # Negated so that NaN, which results from float32 overflow, makes a cell a candidate.
            near = ~(product > reach[:, None].astype(np.float32))
        spectrum, cell = np.divmod(np.flatnonzero(near), cells)
        squared = _squared_distances(chunk, weights, spectrum, cell)
        least = np.minimum.reduceat(squared, np.searchsorted(spectrum, np.arange(len(chunk))))
        winner = np.flatnonzero(squared == least[spectrum])
        winner = winner[np.searchsorted(spectrum[winner], np.arange(len(chunk)))]
        bmu[where], distance[where] = cell[winner], np.sqrt(least)
    return bmu, distance


def find_two_bmus(
    x: NDArray[np.floating], weights: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the closest and second closest cells of finite spectra [n, npix], int [n] each."""
    first, second = np.empty(len(x), np.intp), np.empty(len(x), np.intp)
    weights = np.asarray(weights, np.float64)
    norms = np.einsum("ij,ij->i", weights, weights)
    for rows in chunks(len(x), len(weights)):
        # |x|² is the same for all cells and is left out.
        distance = norms - 2 * np.asarray(x[rows], np.float64) @ weights.T
        first[rows] = distance.argmin(axis=1)
        distance[np.arange(len(distance)), first[rows]] = np.inf
        second[rows] = distance.argmin(axis=1)
    return first, second


def chunks(n: int, width: int) -> list[slice]:
    """Slices of ``n`` rows of ``width`` float32 numbers, a few megabytes each."""
    step = max(1, CHUNK_BYTES // (4 * width))
    return [slice(low, min(low + step, n)) for low in range(0, n, step)]


def _squared_distances(
    x: NDArray[np.floating],
    weights: NDArray[np.floating],
    spectrum: NDArray[np.intp],
    cell: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Squared distances of pairs of a spectrum and a cell, float64 [pairs]."""
    squared = np.empty(len(spectrum))
    for pairs in chunks(len(spectrum), x.shape[1]):
        difference = np.subtract(x[spectrum[pairs]], weights[cell[pairs]], dtype=np.float64)
        squared[pairs] = np.einsum("ij,ij->i", difference, difference)
    return squared
