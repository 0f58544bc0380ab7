"""ESO Phase 3 one-dimensional spectra, one file per spectrum; 4MOST's L1 spectra among them.

A binary table of one row whose cells are arrays: WAVE, FLUX, ERR or ERR_FLUX (1σ), and QUAL (0 is
good). Source: ESO Science Data Products Standard (ESO-044286), and docs/formats.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, open_fits
from qnal.spectra.nights import night_of
from qnal.spectra.object_names import targetids_of
from qnal.spectra.readers.reader import ArrayArm, OpenSpectra, Reader
from qnal.spectra.spectra_file import SpectraFile, find_files
from qnal.spectra.target_table import Columns
from qnal.spectra.units import flux_scale, wavelengths

HDUS = ("PHASE3SPECTRUM", "SPECTRUM", 1)
ERRORS = ("ERR_FLUX", "ERR")


@dataclass(frozen=True)
class Phase3(Reader):
    """Reads ESO Phase 3 spectra.

    Args:
        use_mask: ignore pixels whose QUAL is not 0.
        name: header keyword of the object's name.
        targetid: header keyword of an integer TARGETID, instead of a hash of the name.
        prefix: how the names of the files begin.
        air: whether the wavelengths are those in air.
    """

    use_mask: bool = True
    name: str = "OBJECT"
    targetid: str | None = None
    prefix: str = ""
    air: bool = False
    arms = ("SPEC",)
    named = True

    def find(self, paths: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
        """See :meth:`Reader.find`."""
        return find_files(paths, key, self.prefix)

    @contextmanager
    def open(self, file: SpectraFile) -> Iterator[OpenSpectra]:
        """See :meth:`Reader.open`; a file without errors or a unit of WAVE is refused."""
        with open_fits(file.path) as fits:
            hdu = next((h for h in HDUS if fits.is_table(h)), None)
            if hdu is None:
                raise InputError(f"{file.path}: it has no table of a spectrum.")
            header = fits.header(0)
            pixels = _Pixels.of(fits, hdu)
            wave, flux, ivar = pixels.spectrum(self.use_mask, self.air)
            columns = self._columns(header, file)
        yield OpenSpectra(columns, [ArrayArm(self.arms[0], wave, flux[None], ivar[None])])

    def _columns(self, header: Mapping[str, Any], file: SpectraFile) -> Columns:
        name = str(header[self.name]).strip() if self.name in header else ""
        columns: Columns = {"OBJECT": np.array([name])}
        if self.targetid is not None:
            if self.targetid not in header or not isinstance(header[self.targetid], int):
                raise InputError(f"{file.path}: its header has no integer {self.targetid}.")
            columns["TARGETID"] = np.array([header[self.targetid]], np.int64)
        elif not name:
            raise InputError(
                f"{file.path}: its header has no {self.name}, so the object has no name; set "
                "reader.name or reader.targetid to another keyword."
            )
        else:
            columns["TARGETID"] = targetids_of([name], file.path)
        for column, key in (("TARGET_RA", "RA"), ("TARGET_DEC", "DEC"), ("PROGRAM", "PROG_ID")):
            if key in header:
                columns[column] = np.array([header[key]])
        if "MJD-OBS" in header:
            columns["NIGHT"] = np.array([night_of(float(header["MJD-OBS"]))], np.int32)
        return columns


@dataclass(frozen=True)
class _Pixels:
    """Cells of the only row of a table, with units, by column name in capitals."""

    fits: FitsFile
    where: str
    cells: Mapping[str, NDArray]
    units: Mapping[str, str | None]

    @classmethod
    def of(cls, fits: FitsFile, hdu: str | int) -> "_Pixels":
        header = fits.header(hdu)
        names = fits.columns(hdu)
        wanted = {"WAVE", "FLUX", *ERRORS, "QUAL"}
        found = {n.upper(): n for n in names if n.upper() in wanted}
        table = fits.table(hdu, list(found.values()))
        where = f"{fits.path}: HDU {hdu}"
        if any(len(values) != 1 for values in table.values()):
            raise InputError(f"{where} has more than one row; a Phase 3 spectrum has one row.")
        cells = {upper: np.ravel(table[name][0]) for upper, name in found.items()}
        units = {}
        for upper, name in found.items():
            key = f"TUNIT{names.index(name) + 1}"
            units[upper] = str(header[key]) if key in header else None
        return cls(fits, where, cells, units)

    def spectrum(self, use_mask: bool, air: bool) -> tuple[NDArray, NDArray, NDArray]:
        """Wavelengths (Å), flux (1e-17 erg/s/cm²/Å) and ivar, each of shape [n]."""
        for name in ("WAVE", "FLUX"):
            if name not in self.cells:
                raise InputError(f"{self.where} has no column {name}.")
        error = next((name for name in ERRORS if name in self.cells), None)
        if error is None:
            raise InputError(
                f"{self.where} has no errors ({' or '.join(ERRORS)}), so its pixels have no weight."
            )
        lengths = {name: len(cell) for name, cell in self.cells.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"{self.where} has columns of different lengths: {lengths}.")
        wave = wavelengths(self.cells["WAVE"], self.units["WAVE"], f"{self.where}, WAVE", air)
        flux = self.cells["FLUX"].astype(np.float64) * flux_scale(self.units["FLUX"])
        sigma = self.cells[error].astype(np.float64) * flux_scale(self.units[error])
        good = np.isfinite(sigma) & (sigma > 0) & np.isfinite(flux)
        if use_mask and "QUAL" in self.cells:
            good &= self.cells["QUAL"] == 0
        ivar = np.zeros(len(flux))
        ivar[good] = sigma[good] ** -2.0
        return wave, flux, ivar
