"""From native pixels to the spectra a network sees: rebinned, then renormalised."""

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.grid import Grid

# A real spectrum scatters by far more than this share of its mean; below it there is only rounding.
FLAT = 1e-6


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
    ``utils.rebin`` does. Pixels of no weight are left out whatever their flux; an object with a
    non-finite flux or ivar in a pixel that counts is remembered as such.

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
        used = ~(ivar <= 0)  # a NaN counts as used, so that it is noticed below
        if mask is not None:
            used &= mask == 0
        inside = self.grid.bins(wave)
        columns = inside >= 0
        bad = used & ~(np.isfinite(flux) & np.isfinite(ivar))
        self.non_finite |= bad.any(axis=1)
        weight = np.where(used & ~bad, ivar, 0)
        product = np.where(weight != 0, flux, 0) * weight
        if columns.any():
            bins = inside[columns]
            starts = np.flatnonzero(np.diff(bins, prepend=-1))
            for total, part in ((self.weighted, product), (self.ivar, weight)):
                total[:, bins[starts]] += np.add.reduceat(
                    part[:, columns], starts, axis=1, dtype=np.float64
                )
        return (weight != 0).any(axis=1)

    def renormalised(self) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
        """Spectra of ivar-weighted mean 0 and rms 1, and each one's :class:`Status`.

        Returns:
            x: shape [rows, npix]; bins without data hold −mean/rms, as in QuasarNP; rows that are
                not ``ok`` are 0.
            status: shape [rows], strings.
        """
        has_data = self.ivar > 0
        flux = np.divide(self.weighted, self.ivar, out=np.zeros_like(self.ivar), where=has_data)
        total = self.ivar.sum(axis=1)
        weight = np.divide(self.ivar, total[:, None], out=np.zeros_like(flux), where=has_data)
        mean = (flux * weight).sum(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            rms = np.sqrt(((flux - mean[:, None]) ** 2 * weight).sum(axis=1))
        # Sums of huge but finite numbers may overflow; that is as unusable as a NaN in the file.
        broken = self.non_finite | ~np.isfinite(rms) | ~np.isfinite(total)
        status = np.select(
            [broken, total == 0, rms <= FLAT * np.abs(mean)],
            [Status.NON_FINITE, Status.NO_SIGNAL, Status.ZERO_VARIANCE],
            Status.OK,
        )
        ok = status == Status.OK
        x = np.zeros_like(flux)
        x[ok] = (flux[ok] - mean[ok, None]) / rms[ok, None]
        return x, status


def renormalise(flux: NDArray, ivar: NDArray, wave: NDArray, grid: Grid) -> tuple[NDArray, NDArray]:
    """Rebin and renormalise spectra of one arm: :class:`Rebinner` in one call."""
    rebinner = Rebinner(len(flux), grid)
    rebinner.add(flux, ivar, wave)
    return rebinner.renormalised()
