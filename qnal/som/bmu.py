"""The cells of a map that spectra are nearest to: one matrix product, and float64 where it matters.

The product says which cells can be the nearest at all, by a bound on its rounding; between those
few, distances in float64 decide. So the cells do not depend on the precision, the library or the
number of threads of the product.
"""

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 1 << 22  # of distances at a time: they stay in the processor's cache


def find_bmus(
    x: NDArray[np.floating], weights: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The nearest cell of each spectrum, the first one on ties, and its distance.

    Args:
        x: spectra, shape [n, npix].
        weights: the cells' spectra, shape [cells, npix].

    Returns:
        Cells, int32 [n], and distances, float32 [n]; −1 and NaN for a spectrum with pixels that
        are not finite.
    """
    bmu, distance = np.full(len(x), -1, np.int32), np.full(len(x), np.nan, np.float32)
    cells = len(weights)
    norms = np.einsum("ij,ij->i", weights, weights, dtype=np.float64)
    with np.errstate(over="ignore"):
        single = np.ascontiguousarray(-2 * weights.T, np.float32)
        single_norms = norms.astype(np.float32)
    longest = np.sqrt(norms.max())
    # Rounding of a dot product of n terms is at most n/2 ulp of |x||w| (Higham 2002, eq. 3.5);
    # the product is doubled, both sides of a comparison may err, and inputs are rounded as well.
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
            # Lengths in float32, and a thousandth more for their own rounding.
            lengths = 1.001 * np.sqrt(np.einsum("ij,ij->i", narrow, narrow).astype(np.float64))
            reach = product.min(axis=1) + slack * longest * (lengths + longest)
            # Written so that NaN, from numbers beyond float32, makes a cell a candidate.
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
    """The nearest and the second nearest cell of finite spectra [n, npix], int [n] each."""
    first, second = np.empty(len(x), np.intp), np.empty(len(x), np.intp)
    weights = np.asarray(weights, np.float64)
    norms = np.einsum("ij,ij->i", weights, weights)
    for rows in chunks(len(x), len(weights)):
        # |x|² is the same for all cells and does not change their order.
        distance = norms - 2 * np.asarray(x[rows], np.float64) @ weights.T
        first[rows] = distance.argmin(axis=1)
        distance[np.arange(len(distance)), first[rows]] = np.inf
        second[rows] = distance.argmin(axis=1)
    return first, second


def chunks(n: int, width: int) -> list[slice]:
    """``n`` rows of ``width`` numbers, a few megabytes at a time."""
    step = max(1, CHUNK_BYTES // (4 * width))
    return [slice(low, min(low + step, n)) for low in range(0, n, step)]


def _squared_distances(
    x: NDArray[np.floating],
    weights: NDArray[np.floating],
    spectrum: NDArray[np.intp],
    cell: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Squared distances of pairs of a spectrum and a cell, in float64, shape [pairs]."""
    squared = np.empty(len(spectrum))
    for pairs in chunks(len(spectrum), x.shape[1]):
        difference = np.subtract(x[spectrum[pairs]], weights[cell[pairs]], dtype=np.float64)
        squared[pairs] = np.einsum("ij,ij->i", difference, difference)
    return squared
