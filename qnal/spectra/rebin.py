"""From native pixels to the spectra a network sees: rebinned, then renormalised."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.grid import Grid

# A real spectrum scatters by far more than this share of its mean; below it there is only rounding.
FLAT = 1e-6
# Spectra taken at once, so that what is made of them on the way stays in the processor's cache.
BLOCK = 32


class Status(StrEnum):
    """Why a spectrum has an answer (``ok``) or has none."""

    OK = "ok"
    NO_SIGNAL = "no_signal"
    NON_FINITE = "non_finite"
    ZERO_VARIANCE = "zero_variance"


@dataclass(frozen=True)
class Binning:
    """Which pixels of a camera go to which bins of a grid.

    Attributes:
        pixels: those that lie on the grid.
        starts: the first pixel of each bin, counted from the first of ``pixels``.
        bins: numbers of the bins that have any pixels.
    """

    pixels: slice
    starts: NDArray[np.intp]
    bins: NDArray[np.int64] | slice

    @classmethod
    def of(cls, wave: NDArray, grid: Grid) -> "Binning":
        """The binning of native wavelengths (Å, increasing) on a grid."""
        bins = grid.bins(wave)
        inside = np.flatnonzero(bins >= 0)
        if not len(inside):
            return cls(slice(0, 0), inside, inside)
        pixels = slice(int(inside[0]), int(inside[-1]) + 1)
        starts = np.flatnonzero(np.diff(bins[pixels], prepend=-1))
        used = bins[pixels][starts]
        if used[-1] - used[0] + 1 == len(used):  # without gaps, as a slice, which is faster
            return cls(pixels, starts, slice(int(used[0]), int(used[-1]) + 1))
        return cls(pixels, starts, used)

    def sums(self, values: NDArray) -> NDArray[np.float64]:
        """Sums in float64 over the pixels of each bin, shape [rows, bins]."""
        sums: NDArray[np.float64] = np.add.reduceat(values, self.starts, axis=1, dtype=np.float64)
        return sums


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
        self,
        flux: NDArray,
        ivar: NDArray,
        wave: NDArray | Binning,
        mask: NDArray | None = None,
        first: int = 0,
    ) -> NDArray[np.bool_]:
        """Add one camera of some objects; returns which are alive in it (any pixel with weight).

        Args:
            flux: shape [rows, n], any unit.
            ivar: inverse variance of ``flux``, shape [rows, n]; pixels with ivar ≤ 0 are ignored.
            wave: shape [n], Å, in increasing order; or its :class:`Binning` on the grid.
            mask: shape [rows, n], non-zero where a pixel is bad and to be ignored.
            first: number of the object that the first row belongs to.
        """
        binning = wave if isinstance(wave, Binning) else Binning.of(wave, self.grid)
        alive = np.zeros(len(flux), bool)
        for start in range(0, len(flux) if len(binning.starts) else 0, BLOCK):
            block = slice(start, start + BLOCK)
            pixels = (block, binning.pixels)
            product, weight, broken = _weighted(
                flux[pixels], ivar[pixels], None if mask is None else mask[pixels]
            )
            rows = slice(first + start, first + start + len(product))
            self.non_finite[rows] |= broken
            total = binning.sums(weight)
            alive[block] = (total > 0).any(axis=1)
            self.ivar[rows, binning.bins] += total
            self.weighted[rows, binning.bins] += binning.sums(product)
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
        weight = np.maximum(ivar, 0) if (ivar < 0).any() else ivar  # maximum is slow
        if mask is not None:
            weight = weight.copy() if weight is ivar else weight
            weight[mask != 0] = 0
        product = flux * weight
        # Finite products have finite factors: nearly always there is nothing more to look at.
        if np.isfinite(product).all():
            return product, weight, np.zeros(len(flux), bool)
        used = weight != 0  # a NaN counts as used
        broken = used & ~(np.isfinite(flux) & np.isfinite(weight))
        weight = np.where(broken, 0, weight)
        product = np.where(weight != 0, flux, 0) * weight
    return product, weight, broken.any(axis=1)


def _renormalised(weighted: NDArray, ivar: NDArray) -> tuple[NDArray, ...]:
    """Renormalised spectra with the sum of ivar, the mean and the rms of each."""
    with np.errstate(all="ignore"):
        flux = weighted / ivar
        flux[ivar == 0] = 0
        total = ivar.sum(axis=1)
        weight = ivar / np.where(total == 0, 1, total)[:, None]
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
