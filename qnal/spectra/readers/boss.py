"""BOSS and eBOSS training files: many spectra and their TARGETIDs in one file.

Flux and inverse variance are either two images on native pixels, followed by a table, or side by
side in one image on the log grid, followed by the table. See docs/formats.md.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import integers, open_fits
from qnal.spectra.grid import LOG_PIXELS, LOG_START, LOG_STEP, Grid, named_grid
from qnal.spectra.rebin import BLOCK, Rebinner
from qnal.spectra.signal_to_noise import median_snr

# log10 of the wavelength (Å) of the first native pixel, and the step
LOG_WAVE_START, LOG_WAVE_STEP = 3.555, 1e-4


class BossSpectra(NamedTuple):
    """The spectra of one training file.

    Attributes:
        x: renormalised spectra, shape [rows, npix].
        rebinned: flux and its inverse variance on the grid, shape [rows, 2, npix].
        status: :class:`~qnal.spectra.rebin.Status` of each row.
        targetid: THING_ID of each row; −1 for rows to be left out.
        snr: median flux·√ivar per pixel of each row.
    """

    x: NDArray[np.float64]
    rebinned: NDArray[np.float32]
    status: NDArray[np.str_]
    targetid: NDArray[np.int64]
    snr: NDArray[np.float32]


def read_boss_spectra(path: Path, grid: Grid) -> BossSpectra:
    """Read a training file of either layout.

    Flux is converted to float64 before it is weighted, as in QuasarNP.

    Raises:
        InputError: the file is damaged or has neither layout, or its arrays differ in length.
    """
    with open_fits(path) as fits:
        # The table follows two images, or one that holds flux and ivar side by side.
        table = next((hdu for hdu in (1, 2) if fits.is_table(hdu)), None)
        columns = {} if table is None else fits.table(table, ["TARGETID"])
        if 0 not in fits or fits.is_table(0) or "TARGETID" not in columns:
            raise InputError(
                f"{path}: not a BOSS training file, which has flux, ivar and a table with "
                "TARGETID, or flux and ivar side by side and the table."
            )
        targetid = integers(columns["TARGETID"], "TARGETID", path)
        flux = fits.image(0).astype(np.float64)
        ivar = fits.image(1).astype(np.float64) if table == 2 else None
    if ivar is None:
        if grid is not named_grid("log"):
            raise InputError(
                f"{path}: its spectra are on the log grid and cannot be rebinned to the "
                f"{grid.name} grid; use the log grid, or a file with native pixels."
            )
        flux, ivar, wave = _split_rebinned(flux, path)
    else:
        wave = 10 ** (LOG_WAVE_START + LOG_WAVE_STEP * np.arange(flux.shape[-1]))
    if flux.ndim != 2 or flux.shape != ivar.shape or len(flux) != len(targetid):
        raise InputError(
            f"{path}: flux has shape {flux.shape}, ivar {ivar.shape}, and there are "
            f"{len(targetid)} TARGETIDs; both arrays must have one row per TARGETID."
        )
    rebinner = Rebinner.of(flux, ivar, wave, grid)
    x, status = rebinner.renormalised()
    blocks = [slice(i, i + BLOCK) for i in range(0, len(flux), BLOCK)]
    snr_of_blocks = [median_snr(flux[block], ivar[block]) for block in blocks]
    snr = np.concatenate([np.zeros(0, np.float32), *snr_of_blocks])
    return BossSpectra(x, rebinner.rebinned(), status, targetid, snr)


def _split_rebinned(both: NDArray, path: Path) -> tuple[NDArray, NDArray, NDArray]:
    """Flux, ivar and wavelengths of the layout with both side by side on the log grid."""
    if both.ndim != 2 or both.shape[1] != 2 * LOG_PIXELS:
        raise InputError(
            f"{path}: HDU0 has shape {both.shape}; flux and ivar side by side have "
            f"{2 * LOG_PIXELS} columns."
        )
    # Centres of the bins, so that rounding cannot move a pixel into a neighbouring bin.
    wave = 10 ** (LOG_START + LOG_STEP * (np.arange(LOG_PIXELS) + 0.5))
    return both[:, :LOG_PIXELS], both[:, LOG_PIXELS:], wave
