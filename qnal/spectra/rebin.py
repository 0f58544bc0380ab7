"""Rebinning and renormalising spectra: from native pixels to the input of a network."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.grid import Grid

# rms over mean below which a spectrum is constant up to rounding
FLAT = 1e-6
# Spectra processed at once, so that intermediate arrays stay in the processor's cache
BLOCK = 32


class Status(StrEnum):
    """Whether a spectrum can be used (``ok``), or why not.

    ``no_signal``: no pixel on the grid has weight. ``non_finite``: flux or ivar is NaN or infinite
    in a pixel with weight, or sums overflow. ``zero_variance``: the spectrum is constant.
    """

    OK = "ok"
    NO_SIGNAL = "no_signal"
    NON_FINITE = "non_finite"
    ZERO_VARIANCE = "zero_variance"


@dataclass(frozen=True)
class Binning:
    """Which pixels fall into which bins of a grid.

    Attributes:
        pixels: the pixels inside the grid.
        starts: first pixel of each bin, counted from the first of ``pixels``.
        bins: indices of the bins that contain pixels.
    """

    pixels: slice
    starts: NDArray[np.intp]
    bins: NDArray[np.int64] | slice

    @classmethod
    def of(cls, wave: NDArray, grid: Grid) -> "Binning":
        """The binning of pixels at given wavelengths (shape [n], Å, increasing)."""
        bins = grid.bins(wave)
        inside = np.flatnonzero(bins >= 0)
        if not len(inside):
            return cls(slice(0, 0), inside, inside)
        pixels = slice(int(inside[0]), int(inside[-1]) + 1)
        starts = np.flatnonzero(np.diff(bins[pixels], prepend=-1))
        used = bins[pixels][starts]
        if used[-1] - used[0] + 1 == len(used):  # no gaps: a slice is faster
            return cls(pixels, starts, slice(int(used[0]), int(used[-1]) + 1))
        return cls(pixels, starts, used)

    def sums(self, values: NDArray) -> NDArray[np.float64]:
        """Sums in float64 over the pixels of each bin, shape [rows, bins]."""
        sums: NDArray[np.float64] = np.add.reduceat(values, self.starts, axis=1, dtype=np.float64)
        return sums


class Rebinner:
    """Sums ``flux*ivar`` and ``ivar`` per bin of a grid over all cameras of the same objects.

    Products are computed in the precision of the file (usually float32) and summed in float64, as
    in ``utils.rebin`` of QuasarNP. Pixels outside the grid and pixels without weight are ignored,
    whatever their flux.

    Args:
        rows: number of objects.
        grid: the grid.

    Attributes:
        weighted: sums of ``flux*ivar``, shape [rows, npix].
        ivar: sums of ``ivar``, shape [rows, npix].
        non_finite: whether an object has a non-finite flux or ivar in a pixel with weight,
            shape [rows].
    """

    def __init__(self, rows: int, grid: Grid) -> None:
        self.grid = grid
        self.weighted = np.zeros((rows, len(grid)))
        self.ivar = np.zeros((rows, len(grid)))
        self.non_finite = np.zeros(rows, bool)

    @classmethod
    def of(cls, flux: NDArray, ivar: NDArray, wave: NDArray, grid: Grid) -> "Rebinner":
        """The sums of spectra with a single wavelength array (arguments as for :meth:`add`)."""
        rebinner = cls(len(flux), grid)
        rebinner.add(flux, ivar, wave)
        return rebinner

    def add(
        self,
        flux: NDArray,
        ivar: NDArray,
        wave: NDArray | Binning,
        mask: NDArray | None = None,
        first: int = 0,
    ) -> NDArray[np.bool_]:
        """Add one camera of some objects.

        Args:
            flux: shape [rows, n], any unit.
            ivar: inverse variance of ``flux``, shape [rows, n]; pixels with ivar ≤ 0 are ignored.
            wave: shape [n], Å, increasing; or its :class:`Binning` on the grid.
            mask: shape [rows, n], non-zero where a pixel is to be ignored.
            first: index of the object in the first row.

        Returns:
            Whether each object has any pixel with weight in this camera, shape [rows].
        """
        binning = wave if isinstance(wave, Binning) else Binning.of(wave, self.grid)
        has_data = np.zeros(len(flux), bool)
        for start in range(0, len(flux) if len(binning.starts) else 0, BLOCK):
            block = slice(start, start + BLOCK)
            pixels = (block, binning.pixels)
            product, weight, broken = _weighted(
                flux[pixels], ivar[pixels], None if mask is None else mask[pixels]
            )
            rows = slice(first + start, first + start + len(product))
            self.non_finite[rows] |= broken
            total = binning.sums(weight)
            has_data[block] = (total > 0).any(axis=1)
            self.ivar[rows, binning.bins] += total
            self.weighted[rows, binning.bins] += binning.sums(product)
        return has_data

    def rebinned(self) -> NDArray[np.float32]:
        """Flux and its inverse variance, shape [rows, 2, npix]; both are 0 in bins without data."""
        with np.errstate(all="ignore"):
            flux = self.weighted / self.ivar
        flux[self.ivar == 0] = 0
        return np.stack([flux, self.ivar], axis=1).astype(np.float32)

    def renormalised(self) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
        """Spectra shifted and scaled to an ivar-weighted mean of 0 and rms of 1.

        Returns:
            x: shape [rows, npix]; bins without data are −mean/rms, as in QuasarNP; rows that are
            not ``ok`` are 0.
            status: the :class:`Status` of each row, shape [rows].
        """
        rows = len(self.ivar)
        x = np.zeros_like(self.ivar)
        total, mean, rms = np.zeros(rows), np.zeros(rows), np.zeros(rows)
        for first in range(0, rows, BLOCK):
            block = slice(first, first + BLOCK)
            x[block], total[block], mean[block], rms[block] = _renormalised(
                self.weighted[block], self.ivar[block]
            )
        # Sums of huge finite numbers may overflow.
        finite = np.isfinite(rms) & np.isfinite(total) & np.isfinite(mean)
        status = np.select(
            [self.non_finite | ~finite, total == 0, rms <= FLAT * np.abs(mean)],
            [Status.NON_FINITE, Status.NO_SIGNAL, Status.ZERO_VARIANCE],
            Status.OK,
        )
        status[(status == Status.OK) & ~np.isfinite(x).all(axis=1)] = Status.NON_FINITE
        x[status != Status.OK] = 0
        return x, status


def _weighted(
    flux: NDArray, ivar: NDArray, mask: NDArray | None
) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
    """``flux*ivar`` and ``ivar``, 0 in ignored pixels, and which rows have non-finite values."""
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        weight = np.maximum(ivar, 0) if (ivar < 0).any() else ivar  # maximum is slow
        if mask is not None:
            weight = weight.copy() if weight is ivar else weight
            weight[mask != 0] = 0
        product = flux * weight
        # The usual case: finite products have finite factors.
        if np.isfinite(product).all():
            return product, weight, np.zeros(len(flux), bool)
        used = weight != 0  # a NaN counts as used
        broken = used & ~(np.isfinite(flux) & np.isfinite(weight))
        weight = np.where(broken, 0, weight)
        product = np.where(weight != 0, flux, 0) * weight
    return product, weight, broken.any(axis=1)


def _renormalised(weighted: NDArray, ivar: NDArray) -> tuple[NDArray, ...]:
    """Renormalised spectra, and the sum of ivar, mean and rms of each."""
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
    """Rebin and renormalise spectra with a single wavelength array (see :class:`Rebinner`)."""
    return Rebinner.of(flux, ivar, wave, grid).renormalised()


def renormalise_rebinned(rebinned: NDArray[np.float32]) -> NDArray[np.float32]:
    """Renormalise spectra that are on the grid already.

    Args:
        rebinned: flux and ivar, see :meth:`Rebinner.rebinned`.

    Returns:
        Shape [rows, npix]; not finite where a spectrum is constant or has no data.
    """
    flux, ivar = rebinned.astype(np.float64).transpose(1, 0, 2)
    x, *_ = _renormalised(flux * ivar, ivar)
    return x.astype(np.float32)
