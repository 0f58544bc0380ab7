"""SDSS files of one spectrum, ``spec-PLATE-MJD-FIBER.fits`` or ``spec-FIELD-MJD-CATALOGID.fits``.

HDU1 (COADD) is a table with flux (1e-17 erg/s/cm²/Å), ivar and loglam; another table (SPALL or
SPECOBJ) may hold THING_ID.
Source: https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/PLATE4/spec.html
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, integers, open_fits
from qnal.spectra.grid import Grid
from qnal.spectra.nights import night_of
from qnal.spectra.object_names import targetid_of
from qnal.spectra.readers.reader import ArrayArm, OpenSpectra, Reader
from qnal.spectra.rebin import Rebinner, Status
from qnal.spectra.signal_to_noise import median_snr
from qnal.spectra.spectra_file import SpectraFile, files_in_tree, find_files
from qnal.spectra.target_table import Columns

NO_TARGETID = -1  # of spectra without a catalogued object
PREFIX = "spec-"
_NAME = re.compile(r"spec(?:-lite)?-(\d+)-(\d+)-(\d+)\.fits(\.gz)?$", re.IGNORECASE)
_FIELD = re.compile(r"spec-(\d+)-(\d+)-\d{6,}$")
_BANDS = "ugriz"
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
    rebinned: NDArray[np.float32]
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
        wave, flux, ivar, _ = _pixels(fits)
        thing_id, plate_mjd_fiber = _integer(fits, "THING_ID"), _plate_mjd_fiber(fits)
    rebinner = Rebinner.of(flux[None], ivar[None], wave, grid)
    x, status = rebinner.renormalised()
    snr = float(median_snr(flux[None], ivar[None])[0])
    return SdssSpectrum(
        x[0], rebinner.rebinned()[0], Status(status[0]), snr, thing_id, plate_mjd_fiber
    )


@dataclass(frozen=True)
class Sdss(Reader):
    """Reads a pool of SDSS, BOSS and SDSS-V files of one spectrum.

    TARGETID is the CATALOGID, or else the THING_ID of a table of the file, or else a hash of
    PLATE-MJD-FIBERID, which is then in OBJECT. TILEID is the plate or field.

    Args:
        use_mask: ignore pixels whose and_mask is not 0.
    """

    use_mask: bool = True
    arms = ("SPEC",)
    named = True

    def find(self, paths: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
        """See :meth:`Reader.find`: all ``spec-*.fits`` and ``spec-*.fits.gz``."""
        return find_files(paths, key, PREFIX)

    @contextmanager
    def open(self, file: SpectraFile) -> Iterator[OpenSpectra]:
        """See :meth:`Reader.open`."""
        with open_fits(file.path) as fits:
            wave, flux, ivar, mask = _pixels(fits)
            columns = _columns(fits)
        if self.use_mask and mask is not None:
            ivar[mask != 0] = 0
        yield OpenSpectra(columns, [ArrayArm(self.arms[0], wave, flux[None], ivar[None])])


def _pixels(fits: FitsFile) -> tuple[NDArray, NDArray, NDArray, NDArray | None]:
    """Wavelengths (Å), flux, ivar and and_mask of the file's spectrum, each of shape [n]."""
    path = fits.path
    columns = {n.lower(): n for n in fits.columns(1)} if fits.is_table(1) else {}
    wanted = ("flux", "ivar", "loglam")
    if not set(wanted) <= columns.keys():
        raise InputError(
            f"{path}: HDU1 has no {', '.join(n for n in wanted if n not in columns)}; an SDSS "
            "spectrum has a table of flux, ivar and loglam there."
        )
    data = fits.table(1, [columns[n] for n in (*wanted, "and_mask") if n in columns])
    flux, ivar, loglam = (data[columns[n]].astype(np.float64) for n in wanted)
    # Stored as float32, loglam is off by up to 2e-7; the true values are multiples of 1e-4.
    loglam = np.round(loglam, 6)
    if flux.ndim != 1 or not len(flux) or not np.isfinite(loglam).all():
        raise InputError(f"{path}: HDU1 has no pixels, or loglam has values that are not finite.")
    if not np.all(np.diff(loglam) > 0) or np.abs(loglam).max() > 10:
        raise InputError(f"{path}: loglam is not a list of increasing wavelengths.")
    mask = data[columns["and_mask"]] if "and_mask" in columns else None
    return 10**loglam, flux, ivar, mask


def _columns(fits: FitsFile) -> Columns:
    """The target columns of a file; those that it does not state are left out."""
    found: dict[str, Any] = {}
    catalogid, thing_id = _integer(fits, "CATALOGID"), _integer(fits, "THING_ID")
    plate_mjd_fiber = _plate_mjd_fiber(fits)
    stem = fits.path.name.partition(".fits")[0]
    if catalogid != NO_TARGETID or thing_id != NO_TARGETID:
        found["TARGETID"] = catalogid if catalogid != NO_TARGETID else thing_id
    else:
        found["OBJECT"] = "-".join(map(str, plate_mjd_fiber)) if plate_mjd_fiber else stem
        found["TARGETID"] = targetid_of(found["OBJECT"])
    if named := _FIELD.match(stem):  # of SDSS-V, whose CATALOGID is not a fibre
        found |= {"TILEID": int(named[1]), "NIGHT": night_of(int(named[2]))}
    elif plate_mjd_fiber is not None:
        plate, mjd, fiber = plate_mjd_fiber
        found |= {"TILEID": plate, "NIGHT": night_of(mjd), "FIBER": fiber}
    header = fits.header(0)
    for column, keys in (("TARGET_RA", ("PLUG_RA", "RA")), ("TARGET_DEC", ("PLUG_DEC", "DEC"))):
        value = next((header[key] for key in keys if key in header), None)
        if isinstance(value, float):
            found[column] = value
    table = next((t for t in _OBJECT_TABLES if fits.is_table(t)), None)
    stated = {} if table is None else fits.table(table, ["OBJTYPE", "PSFFLUX"])
    if "OBJTYPE" in stated:
        kind = np.char.strip(stated["OBJTYPE"].astype(str))[0]
        found["OBJTYPE"] = "SKY" if kind == "SKY" else "TGT"
    if "PSFFLUX" in stated and np.size(stated["PSFFLUX"][0]) == len(_BANDS):
        fluxes = zip(_BANDS, stated["PSFFLUX"][0], strict=True)
        found |= {f"FLUX_{b.upper()}": np.float32(f) for b, f in fluxes if b in "grz"}
    return {name: np.array([value]) for name, value in found.items()}


def _integer(fits: FitsFile, column: str) -> int:
    """A positive identifier of a table of the file, or −1."""
    for name in _OBJECT_TABLES:
        if fits.is_table(name) and column in fits.columns(name):
            ids = integers(fits.table(name, [column])[column], column, fits.path)
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
