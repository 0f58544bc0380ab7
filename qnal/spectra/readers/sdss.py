"""SDSS files of one spectrum each, ``spec-PLATE-MJD-FIBER.fits``.

HDU1 (COADD) is a table with flux (1e-17 erg/s/cm²/Å), ivar and loglam; another table (SPALL or
SPECOBJ) may hold THING_ID.
Source: https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, integers, open_fits
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Status, renormalise
from qnal.spectra.signal_to_noise import median_snr
from qnal.spectra.spectra_file import files_in_tree

NO_TARGETID = -1  # of spectra without a catalogued object
PREFIX = "spec-"
_NAME = re.compile(r"spec(?:-lite)?-(\d+)-(\d+)-(\d+)\.fits(\.gz)?$", re.IGNORECASE)
_KEYS = ("PLATEID", "MJD", "FIBERID")
_OBJECT_TABLES = ("SPALL", "SPECOBJ", "ZALL", 2)


@dataclass(frozen=True)
class SdssSpectrum:
    """One spectrum.

    Attributes:
        x: renormalised spectrum, shape [npix].
        status: whether it can be used.
        snr: median flux·√ivar per pixel.
        thing_id: −1 if the file does not state it.
        plate_mjd_fiber: from the primary header or the file name; None if neither states it.
    """

    x: NDArray[np.float64]
    status: Status
    snr: float
    thing_id: int
    plate_mjd_fiber: tuple[int, int, int] | None


def is_sdss(path: Path) -> bool:
    """Whether a file is named as SDSS names files of one spectrum."""
    return _NAME.match(path.name) is not None


def expand_folders(paths: Sequence[Path]) -> list[Path]:
    """The paths, with each folder replaced by the ``spec-*.fits[.gz]`` files below it.

    Raises:
        InputError: a folder contains none.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(files_in_tree(path, PREFIX)) if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path}: it contains no file called spec-*.fits or spec-*.fits.gz.")
        files += found
    return list(dict.fromkeys(files))


def read_sdss(path: Path, grid: Grid) -> SdssSpectrum:
    """Read one file; flux is converted to float64, as for BOSS training files.

    Raises:
        InputError: the file is damaged, or HDU1 lacks flux, ivar or loglam.
    """
    with open_fits(path) as fits:
        columns = {n.lower(): n for n in fits.columns(1)} if fits.is_table(1) else {}
        wanted = ("flux", "ivar", "loglam")
        if not set(wanted) <= columns.keys():
            raise InputError(
                f"{path}: HDU1 has no {', '.join(n for n in wanted if n not in columns)}; an SDSS "
                "spectrum has a table of flux, ivar and loglam there."
            )
        data = fits.table(1, [columns[n] for n in wanted])
        flux, ivar, loglam = (data[columns[n]].astype(np.float64) for n in wanted)
        thing_id, plate_mjd_fiber = _thing_id(fits), _plate_mjd_fiber(fits)
    # Stored as float32, loglam is off by up to 2e-7; the true values are multiples of 1e-4.
    loglam = np.round(loglam, 6)
    if flux.ndim != 1 or not len(flux) or not np.isfinite(loglam).all():
        raise InputError(f"{path}: HDU1 has no pixels, or loglam has values that are not finite.")
    if not np.all(np.diff(loglam) > 0) or np.abs(loglam).max() > 10:
        raise InputError(f"{path}: loglam is not a list of increasing wavelengths.")
    x, status = renormalise(flux[None], ivar[None], 10**loglam, grid)
    snr = float(median_snr(flux[None], ivar[None])[0])
    return SdssSpectrum(x[0], Status(status[0]), snr, thing_id, plate_mjd_fiber)


def _thing_id(fits: FitsFile) -> int:
    for name in _OBJECT_TABLES:
        if fits.is_table(name) and "THING_ID" in fits.columns(name):
            ids = integers(fits.table(name, ["THING_ID"])["THING_ID"], "THING_ID", fits.path)
            if len(ids) and ids[0] > 0:
                return int(ids[0])
    return NO_TARGETID


def _plate_mjd_fiber(fits: FitsFile) -> tuple[int, int, int] | None:
    header = fits.header(0)
    values = [header[key] for key in _KEYS if key in header]
    if len(values) < len(_KEYS):
        found = _NAME.match(fits.path.name)
        if found is None:
            return None
        values = list(found.groups()[:3])
    return int(values[0]), int(values[1]), int(values[2])
