"""Whatever the package specutils can read, by the name of one of its formats.

specutils is an optional dependency (``pip install qnal[specutils]``). Source:
https://specutils.readthedocs.io, ``SpectrumList.read``.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.spectra.object_names import targetids_of
from qnal.spectra.readers.reader import ArrayArm, OpenSpectra, Reader
from qnal.spectra.spectra_file import SpectraFile, find_files
from qnal.spectra.target_table import Columns
from qnal.spectra.units import flux_scale, wavelengths


@dataclass(frozen=True)
class Specutils(Reader):
    """Reads files through ``specutils.SpectrumList.read``.

    Args:
        format: name of the format, such as ``tabular-fits`` or ``6dFGS-combined``.
        item: which spectrum of the list is read; it may hold many rows.
        name: key of the object's name in the metadata or their header; None: the file's name.
        suffix: how the names of the files end.
        prefix: how they begin.
        air: whether the wavelengths are those in air.
        use_mask: whether masked pixels are ignored.
    """

    format: str
    item: int = 0
    name: str | None = None
    suffix: str = ".fits"
    prefix: str = ""
    air: bool = False
    use_mask: bool = True
    arms = ("SPEC",)
    named = True

    def find(self, paths: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
        """See :meth:`Reader.find`; specutils must be installed."""
        _specutils()
        return find_files(paths, key, self.prefix, (self.suffix, f"{self.suffix}.gz"))

    @contextmanager
    def open(self, file: SpectraFile) -> Iterator[OpenSpectra]:
        """See :meth:`Reader.open`; spectra without uncertainties are refused."""
        spectrum = self._spectrum(file.path)
        wave, flux, ivar = self._pixels(spectrum, file.path)
        names = self._names(spectrum, len(flux), file)
        columns: Columns = {"OBJECT": np.array(names), "TARGETID": targetids_of(names, file.path)}
        yield OpenSpectra(columns, [ArrayArm(self.arms[0], wave, flux, ivar)])

    def _spectrum(self, path: Path) -> Any:
        specutils = _specutils()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about headers, of astropy
                spectra = specutils.SpectrumList.read(str(path), format=self.format)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [repr(error)])[0]
            raise InputError(
                f"{path}: specutils cannot read it as {self.format} ({reason})."
            ) from error
        if not -len(spectra) <= self.item < len(spectra):
            raise InputError(
                f"{path}: reader.item={self.item} does not exist; the file has {len(spectra)} "
                "spectra, counted from 0."
            )
        return spectra[self.item]

    def _pixels(self, spectrum: Any, path: Path) -> tuple[NDArray, NDArray, NDArray]:
        nduncertainty = import_module("astropy.nddata")
        if spectrum.uncertainty is None:
            raise InputError(f"{path}: specutils finds no uncertainties, so pixels have no weight.")
        unit = str(spectrum.spectral_axis.unit)
        wave = wavelengths(spectrum.spectral_axis.value, unit, str(path), self.air)
        flux = np.atleast_2d(np.asarray(spectrum.flux.value, np.float64))
        with np.errstate(all="ignore"):
            inverse = spectrum.uncertainty.represent_as(nduncertainty.InverseVariance)
            ivar = np.atleast_2d(np.array(inverse.array, np.float64))
        scale = flux_scale(spectrum.flux.unit.to_string())
        flux, ivar = flux * scale, ivar / scale**2
        ivar[~np.isfinite(ivar) | ~np.isfinite(flux)] = 0
        if self.use_mask and spectrum.mask is not None:
            ivar[np.atleast_2d(spectrum.mask)] = 0
        return wave, flux, ivar

    def _names(self, spectrum: Any, rows: int, file: SpectraFile) -> list[str]:
        if self.name is None:
            name = file.name.partition(self.suffix)[0]
        else:
            meta: Mapping[str, Any] = spectrum.meta or {}
            header = meta.get("header") or {}
            found = meta.get(self.name, header.get(self.name))
            if found is None:
                raise InputError(f"{file.path}: its metadata have no {self.name}.")
            name = str(found).strip()
        return [name] if rows == 1 else [f"{name} {row}" for row in range(rows)]


def _specutils() -> Any:
    try:
        return import_module("specutils")
    except ImportError as error:
        raise ConfigError(
            "reader=specutils needs the package specutils: pip install qnal[specutils]."
        ) from error
