"""SDSS files of one spectrum each, ``spec-PLATE-MJD-FIBER.fits`` (FORMATS.md section 3).

HDU1 (COADD) is a table with flux, ivar and loglam; a further table (SPALL or SPECOBJ) may hold
THING_ID. Source: https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec.html
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, integers, opened
from qnal.spectra.grid import Grid
from qnal.spectra.readers.camera import median_snr
from qnal.spectra.rebin import Status, renormalise

NO_TARGETID = -1  # of spectra that belong to no catalogued object
_NAME = re.compile(r"spec(?:-lite)?-(\d+)-(\d+)-(\d+)\.fits(\.gz)?$", re.IGNORECASE)
_KEYS = ("PLATEID", "MJD", "FIBERID")
_OBJECT_TABLES = ("SPALL", "SPECOBJ", "ZALL", 2)


@dataclass(frozen=True)
class SdssSpectrum:
    """One spectrum.

    Attributes:
        x: renormalised, shape [npix].
        status: whether it can be used.
        snr: median flux·√ivar a pixel.
        thing_id: −1 where the file does not say.
        plate_mjd_fiber: from the primary header, else the file's name; None where neither says.
    """

    x: NDArray[np.float64]
    status: Status
    snr: float
    thing_id: int
    plate_mjd_fiber: tuple[int, int, int] | None


def is_sdss(path: Path) -> bool:
    """Whether a file is called as SDSS calls files of one spectrum."""
    return _NAME.match(path.name) is not None


def read_sdss(path: Path, grid: Grid) -> SdssSpectrum:
    """Read one file; flux is taken to float64, as for the other BOSS files.

    Raises:
        InputError: the file is broken, or HDU1 has no flux, ivar and loglam.
    """
    with opened(path) as fits:
        columns = {n.lower(): n for n in fits.columns(1)} if fits.is_table(1) else {}
        wanted = ("flux", "ivar", "loglam")
        if not set(wanted) <= columns.keys():
            raise InputError(
                f"{path}: HDU1 has no {', '.join(n for n in wanted if n not in columns)}; an SDSS "
                "spectrum has a table of flux, ivar and loglam there."
            )
        data = fits.table(1, [columns[n] for n in wanted])
        flux, ivar, loglam = (data[columns[n]].astype(np.float64) for n in wanted)
        thing_id, place = _thing_id(fits), _plate_mjd_fiber(fits)
    # Stored in float32, its points are off by up to 2e-7; the true ones are multiples of 1e-4.
    loglam = np.round(loglam, 6)
    if flux.ndim != 1 or not len(flux) or not np.isfinite(loglam).all():
        raise InputError(f"{path}: HDU1 has no pixels, or wavelengths that are no numbers.")
    if not np.all(np.diff(loglam) > 0) or np.abs(loglam).max() > 10:
        raise InputError(f"{path}: loglam is not a list of increasing wavelengths.")
    x, status = renormalise(flux[None], ivar[None], 10**loglam, grid)
    snr = float(median_snr(flux[None], ivar[None])[0])
    return SdssSpectrum(x[0], Status(status[0]), snr, thing_id, place)


def _thing_id(fits: FitsFile) -> int:
    for name in _OBJECT_TABLES:
        if fits.is_table(name) and "THING_ID" in fits.columns(name):
            said = integers(fits.table(name, ["THING_ID"])["THING_ID"], "THING_ID", fits.path)
            if len(said) and said[0] > 0:
                return int(said[0])
    return NO_TARGETID


def _plate_mjd_fiber(fits: FitsFile) -> tuple[int, int, int] | None:
    header = fits.header(0)
    said = [header[key] for key in _KEYS if key in header]
    found = _NAME.match(fits.path.name)
    if len(said) != len(_KEYS) and found:
        said = list(found.groups()[:3])
    return (int(said[0]), int(said[1]), int(said[2])) if len(said) == len(_KEYS) else None
