"""BOSS/eBOSS training files (FORMATS.md section 3)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import integers, opened
from qnal.spectra.grid import LOG_PIXELS, Grid, named_grid
from qnal.spectra.readers.camera import median_snr
from qnal.spectra.rebin import BLOCK, renormalise

LOG_WAVE_START, LOG_WAVE_STEP = 3.555, 1e-4


def read_boss_spectra(
    path: Path, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.int64], NDArray[np.float32]]:
    """Read a DR12 training file of either layout.

    Flux is taken to float64 before it is weighted: that is what QuasarNP answered for these files.

    Returns:
        x: renormalised spectra, shape [rows, npix].
        status: :class:`~qnal.spectra.rebin.Status` of each row.
        targetid: THING_ID of each row, −1 for rows to be dropped.
        snr: median flux·√ivar a pixel of each row.

    Raises:
        InputError: the file is broken, of neither layout, or its arrays do not belong together.
    """
    with opened(path) as fits:
        # The older layout has the table right behind one array of flux and ivar.
        table = next((hdu for hdu in (1, 2) if fits.is_table(hdu)), None)
        columns = {} if table is None else fits.table(table, ["TARGETID"])
        if 0 not in fits or fits.is_table(0) or "TARGETID" not in columns:
            raise InputError(
                f"{path}: it is no BOSS training file, which has flux, ivar and a table with "
                "TARGETID, or flux and ivar side by side and the table."
            )
        targetid = integers(columns["TARGETID"], "TARGETID", path)
        flux = fits.image(0).read().astype(np.float64)
        ivar = fits.image(1).read().astype(np.float64) if table == 2 else None
    if ivar is None:
        if grid is not named_grid("log"):
            raise InputError(
                f"{path}: its spectra are already on the log grid, which gives no {grid.name} one; "
                "use network.grid=log, or a file with native pixels."
            )
        flux, ivar, wave = _split_rebinned(flux, path)
    else:
        wave = 10 ** (LOG_WAVE_START + LOG_WAVE_STEP * np.arange(flux.shape[-1]))
    if flux.ndim != 2 or flux.shape != ivar.shape or len(flux) != len(targetid):
        raise InputError(
            f"{path}: flux {flux.shape}, ivar {ivar.shape} and {len(targetid)} TARGETIDs do not "
            "belong together; both arrays have one row a TARGETID."
        )
    x, status = renormalise(flux, ivar, wave, grid)
    blocks = [slice(i, i + BLOCK) for i in range(0, len(flux), BLOCK)]
    snr = [median_snr(flux[block], ivar[block]) for block in blocks]
    return x, status, targetid, np.concatenate([np.zeros(0, np.float32), *snr])


def _split_rebinned(both: NDArray, path: Path) -> tuple[NDArray, NDArray, NDArray]:
    """The older layout: flux and ivar side by side, already on the log grid."""
    if both.ndim != 2 or both.shape[1] != 2 * LOG_PIXELS:
        raise InputError(
            f"{path}: HDU0 has shape {both.shape}; flux and ivar side by side have "
            f"{2 * LOG_PIXELS} columns."
        )
    # Centres of the bins, so that no rounding moves a pixel into the bin beside.
    wave = 10 ** (np.log10(3600.0) + 1e-3 * (np.arange(LOG_PIXELS) + 0.5))
    return both[:, :LOG_PIXELS], both[:, LOG_PIXELS:], wave
