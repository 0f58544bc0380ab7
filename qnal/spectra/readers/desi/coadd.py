"""Reading a DESI coadd: rebinned spectra and the target table of one file."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.spectra.fits import open_fits
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi.camera import CAMERAS, Camera
from qnal.spectra.readers.desi.fibermap import read_fibermap
from qnal.spectra.rebin import BLOCK, Binning, Rebinner
from qnal.spectra.signal_to_noise import median_snr
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.target_table import target_table

# Rows read at once: one petal's 500 in one go, and bounded memory for large healpix coadds.
CHUNK = 16 * BLOCK


@dataclass(frozen=True)
class Coadd:
    """The spectra of one coadd file.

    Attributes:
        x: renormalised spectra on the grid, shape [rows, npix]; zero where STATUS is not ``ok``.
        table: the columns of :data:`~qnal.spectra.target_table.TARGET_COLUMNS`, one row per row of
            FIBERMAP and in its order.
        digest: SHA-256 of the TARGETIDs and of the rebinned flux and ivar.
    """

    x: NDArray[np.float64]
    table: pa.Table
    digest: str


def read_coadd(file: SpectraFile, grid: Grid, use_mask: bool = True) -> Coadd:
    """Read a coadd file, gzipped or not.

    Args:
        file: the file.
        grid: the wavelength grid to rebin to.
        use_mask: ignore pixels whose ``X_MASK`` is not 0 (QuasarNP does not read the mask).

    Raises:
        InputError: the file is damaged, lacks FIBERMAP or a camera, or its arrays differ in length.
    """
    with open_fits(file.path) as fits:
        targetid, columns = read_fibermap(fits, file)
        rows = len(targetid)
        rebinner = Rebinner(rows, grid)
        cameras = [Camera(fits, name, rows, use_mask) for name in CAMERAS]
        bits = np.zeros(rows, np.int8)
        for bit, (name, camera) in enumerate(zip(CAMERAS, cameras, strict=True)):
            has_data, columns[f"SNR_{name}"] = _add_camera(rebinner, camera, rows)
            bits |= (has_data << bit).astype(np.int8)
    x, status = rebinner.renormalised()
    columns |= {
        "TARGETID": targetid,
        "FILE": np.full(rows, file.name),
        "ROW": np.arange(rows, dtype=np.int32),
        "CAMERAS": bits,
        "STATUS": status,
    }
    # The sums before renormalisation, whose rounding depends on the processor.
    digest = hashlib.sha256(targetid.data)
    digest.update(rebinner.weighted.data)
    digest.update(rebinner.ivar.data)
    digest.update(rebinner.non_finite.data)
    return Coadd(x, target_table(columns, rows, file.path), digest.hexdigest())


def _add_camera(
    rebinner: Rebinner, camera: Camera, rows: int
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Add all spectra of a camera; returns which have any data in it, and their median SNR."""
    has_data, snr = np.zeros(rows, bool), np.zeros(rows, np.float32)
    binning = Binning.of(camera.wave, rebinner.grid)
    for first in range(0, rows, CHUNK):
        flux, ivar, mask = camera.rows(first, min(first + CHUNK, rows))
        # In blocks whose intermediate arrays fit the processor's cache.
        for start in range(0, len(flux), BLOCK):
            block, target = slice(start, start + BLOCK), slice(first + start, first + start + BLOCK)
            block_mask = None if mask is None else mask[block]
            has_data[target] = rebinner.add(
                flux[block], ivar[block], binning, block_mask, first + start
            )
            snr[target] = median_snr(flux[block], ivar[block], has_data[target])
    return has_data, snr
