"""From native pixels to the spectra a network sees: rebinned, then renormalised."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.grid import Grid

# A real spectrum scatters by far more than this share of its mean; below it there is only rounding.
FLAT = 1e-6
# Spectra taken at once, so that what is made of them on the way stays in the processor's cache.
BLOCK = 64


class Status(StrEnum):
    """Why a spectrum has an answer (``ok``) or has none."""

    OK = "ok"
    NO_SIGNAL = "no_signal"
    NON_FINITE = "non_finite"
    ZERO_VARIANCE = "zero_variance"


class Rebinner:
    """Adds cameras of the same objects up on one grid.

    Per bin it sums ``flux*ivar`` and ``ivar`` over all cameras. The product is taken in the
    precision of the file (float32 as a rule) and summed in float64, as QuasarNP's
    ``utils.rebin`` does. Pixels outside the grid and pixels of no weight are left out whatever
    their flux; an object with a non-finite flux or ivar in a pixel that counts is remembered as
    such.

    Args:
        rows: number of objects.
        grid: the grid to add up on.
    """

    def __init__(self, rows: int, grid: Grid) -> None:
        self.grid = grid
        self.weighted = np.zeros((rows, len(grid)))
        self.ivar = np.zeros((rows, len(grid)))
        self.non_finite = np.zeros(rows, bool)

    def add(
        self, flux: NDArray, ivar: NDArray, wave: NDArray, mask: NDArray | None = None
    ) -> NDArray[np.bool_]:
        """Add one camera; returns which objects are alive in it (any pixel with weight).

        Args:
            flux: shape [rows, n], any unit.
            ivar: inverse variance of ``flux``, shape [rows, n]; pixels with ivar ≤ 0 are ignored.
            wave: shape [n], Å, in increasing order.
            mask: shape [rows, n], non-zero where a pixel is bad and to be ignored.
        """
        alive = np.zeros(len(flux), bool)
        bins = self.grid.bins(wave)
        inside = np.flatnonzero(bins >= 0)
        if not len(inside):
            return alive
        pixels = slice(inside[0], inside[-1] + 1)
        bins = bins[pixels]
        starts = np.flatnonzero(np.diff(bins, prepend=-1))
        target = bins[starts]
        for first in range(0, len(flux), BLOCK):
            rows = slice(first, first + BLOCK)
            product, weight, bad = _weighted(
                flux[rows, pixels],
                ivar[rows, pixels],
                None if mask is None else mask[rows, pixels],
            )
            self.non_finite[rows] |= bad
            total = np.add.reduceat(weight, starts, axis=1, dtype=np.float64)
            alive[rows] = (total > 0).any(axis=1)
            self.ivar[rows, target] += total
            self.weighted[rows, target] += np.add.reduceat(
                product, starts, axis=1, dtype=np.float64
            )
        return alive

    def renormalised(self) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
        """Spectra of ivar-weighted mean 0 and rms 1, and each one's :class:`Status`.

        Returns:
            x: shape [rows, npix]; bins without data hold −mean/rms, as in QuasarNP; rows that are
                not ``ok`` are 0.
            status: shape [rows], strings.
        """
        rows = len(self.ivar)
        x = np.zeros_like(self.ivar)
        total, mean, rms = np.zeros(rows), np.zeros(rows), np.zeros(rows)
        for first in range(0, rows, BLOCK):
            block = slice(first, first + BLOCK)
            x[block], total[block], mean[block], rms[block] = _renormalised(
                self.weighted[block], self.ivar[block]
            )
        # Sums of huge but finite numbers may overflow; that is as unusable as a NaN in the file.
        finite = np.isfinite(rms) & np.isfinite(total) & np.isfinite(mean)
        status = np.select(
            [self.non_finite | ~finite, total == 0, rms <= FLAT * np.abs(mean)],
            [Status.NON_FINITE, Status.NO_SIGNAL, Status.ZERO_VARIANCE],
            Status.OK,
        )
        # A last guard: no row without a status that says so may hold anything but numbers.
        status[(status == Status.OK) & ~np.isfinite(x).all(axis=1)] = Status.NON_FINITE
        x[status != Status.OK] = 0
        return x, status


def _weighted(
    flux: NDArray, ivar: NDArray, mask: NDArray | None
) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """``flux*ivar`` and ``ivar`` with what does not count set to 0, and which rows are broken."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        weight = np.maximum(ivar, 0)
        if mask is not None:
            weight[mask != 0] = 0
        product = flux * weight
        # Finite products have finite factors: nearly always there is nothing more to look at.
        if np.isfinite(product).all():
            return product, weight, np.zeros(len(flux), bool)
        used = weight != 0  # a NaN counts as used
        broken = used & ~(np.isfinite(flux) & np.isfinite(weight))
        weight[broken] = 0
        product = np.where(weight != 0, flux, 0) * weight
    return product, weight, broken.any(axis=1)


def _renormalised(weighted: NDArray, ivar: NDArray) -> tuple[NDArray, ...]:
    """Renormalised spectra with the sum of ivar, the mean and the rms of each."""
    with np.errstate(all="ignore"):
        flux = weighted / ivar
        flux[ivar == 0] = 0
        total = ivar.sum(axis=1)
        weight = ivar / total[:, None]
        mean = np.einsum("ij,ij->i", flux, weight)
        flux -= mean[:, None]
        rms = np.sqrt(np.einsum("ij,ij,ij->i", flux, flux, weight))
        flux /= rms[:, None]
    return flux, total, mean, rms


def renormalise(
    flux: NDArray, ivar: NDArray, wave: NDArray, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Rebin and renormalise spectra of one arm: :class:`Rebinner` in one call."""
    rebinner = Rebinner(len(flux), grid)
    rebinner.add(flux, ivar, wave)
    return rebinner.renormalised()
