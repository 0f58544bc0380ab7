"""DESI coadd files: the objects of one file, ready for a network (FORMATS.md section 2)."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.spectra.fits import opened
from qnal.spectra.grid import Grid
from qnal.spectra.readers.camera import CAMERAS, Camera, median_snr
from qnal.spectra.rebin import BLOCK, Binning, Rebinner
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.target_table import read_target_columns, target_table


@dataclass(frozen=True)
class Coadd:
    """The objects of one coadd file.

    Attributes:
        x: renormalised spectra on the grid, shape [rows, npix]; zero where STATUS is not ``ok``.
        table: the columns of :data:`~qnal.spectra.target_table.TARGET_COLUMNS`, one row an object,
            in the order of FIBERMAP.
        digest: SHA-256 of the spectra and TARGETIDs, see
            :mod:`~qnal.spectra.file_version`.
    """

    x: NDArray[np.float64]
    table: pa.Table
    digest: str


def read_coadd(file: SpectraFile, grid: Grid, use_mask: bool = True) -> Coadd:
    """Read one coadd file, gzipped or not; every FIBERMAP row gives one row.

    Args:
        file: the file and its name in the tree.
        grid: the grid to rebin to.
        use_mask: ignore pixels whose ``X_MASK`` is not 0 (the reference does not look at it).

    Raises:
        InputError: the file is broken or lacks FIBERMAP or a camera, or lengths disagree.
    """
    with opened(file.path) as fits:
        targetid, columns = read_target_columns(fits, file)
        rows = len(targetid)
        rebinner = Rebinner(rows, grid)
        alive = np.zeros(rows, np.int8)
        snr = {name: np.zeros(rows, np.float32) for name in CAMERAS}
        cameras = {name: Camera(fits, name, rows, use_mask) for name in CAMERAS}
        binnings = {name: Binning.of(camera.wave, grid) for name, camera in cameras.items()}
        # Block by block, so that what is made of the pixels on the way stays in the cache.
        for first in range(0, rows, BLOCK):
            block = slice(first, min(first + BLOCK, rows))
            for bit, (name, camera) in enumerate(cameras.items()):
                flux, ivar, mask = camera.rows(block.start, block.stop)
                lives = rebinner.add(flux, ivar, binnings[name], mask, first)
                alive[block] |= (lives << bit).astype(np.int8)
                snr[name][block] = median_snr(flux, ivar, lives)
    x, status = rebinner.renormalised()
    columns |= {
        "TARGETID": targetid,
        "FILE": np.full(rows, file.name),
        "ROW": np.arange(rows, dtype=np.int32),
        "CAMERAS": alive,
        **{f"SNR_{name}": values for name, values in snr.items()},
        "STATUS": status,
    }
    # Hashed is what the answer is made of, before rounding errors of another machine come in.
    digest = hashlib.sha256(targetid.data)
    digest.update(rebinner.weighted.data)
    digest.update(rebinner.ivar.data)
    digest.update(rebinner.non_finite.data)
    return Coadd(x, target_table(columns, rows, file.path), digest.hexdigest())
