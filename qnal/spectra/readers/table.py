"""Spectra as arrays in Parquet or HDF5 tables, with columns and units by settings."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.spectra.fits import integers
from qnal.spectra.object_names import targetids_of
from qnal.spectra.readers.array_file import ArrayFile, open_arrays
from qnal.spectra.readers.reader import Arm, OpenSpectra, Reader
from qnal.spectra.spectra_file import SpectraFile, find_files
from qnal.spectra.target_table import TARGET_COLUMNS, Columns
from qnal.spectra.units import flux_scale, is_unit, wavelengths

SUFFIXES = (".parquet", ".h5", ".hdf5")
FLUX_UNIT = "1e-17 erg / (s cm2 AA)"
# Columns of the target table that the reader itself fills.
OWN = ("TARGETID", "FILE", "ROW", "CAMERAS", "STATUS")


@dataclass(frozen=True)
class Table(Reader):
    """Reads tables with one spectrum per row.

    Args:
        flux: column (Parquet) or dataset (HDF5) of the flux, [rows, n].
        ivar: of its inverse variance.
        error: of its standard deviation, instead of ``ivar``.
        wave: of the wavelengths, the same for all rows; or the first one and the step.
        wave_unit: ``AA``, ``nm``, ``um`` or ``log10(AA)``.
        air: whether the wavelengths are those in air.
        flux_unit: of flux and errors.
        mask: of a mask, not 0 where a pixel is to be ignored.
        use_mask: whether the mask is used.
        targetid: of integer identifiers.
        name: of the objects' names, which TARGETID is a hash of where there is no ``targetid``.
        columns: further columns of the target table, and what they are called in the file.
        prefix: how the names of the files begin.
    """

    flux: str = "flux"
    ivar: str | None = "ivar"
    error: str | None = None
    wave: str | Sequence[float] = "wave"
    wave_unit: str | None = None
    air: bool = False
    flux_unit: str = FLUX_UNIT
    mask: str | None = None
    use_mask: bool = True
    targetid: str | None = "TARGETID"
    name: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    arms = ("SPEC",)

    @property
    def named(self) -> bool:  # type: ignore[override]
        """Whether objects have names."""
        return self.name is not None

    def check(self) -> None:
        """See :meth:`Reader.check`."""
        super().check()
        if (self.ivar is None) == (self.error is None):
            raise ConfigError("reader takes either ivar or error; the other one is null.")
        if self.targetid is None and self.name is None:
            raise ConfigError("reader takes targetid or name, and both are null.")
        if not is_unit(self.flux_unit):
            raise ConfigError(
                f"reader.flux_unit={self.flux_unit} is not a unit; it takes one such as "
                f"{FLUX_UNIT}, or adu."
            )
        if not isinstance(self.wave, str) and (
            len(self.wave) != 2 or not all(isinstance(v, int | float) for v in self.wave)
        ):
            raise ConfigError(
                f"reader.wave={list(self.wave)} cannot be used; it takes the name of a column, or "
                "two numbers, the first wavelength and the step."
            )
        known = [n for n in TARGET_COLUMNS.names if n not in OWN]
        for column in self.columns:
            if column not in known:
                raise ConfigError(f"reader.columns.{column} is none of {', '.join(known)}.")

    def find(self, paths: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
        """See :meth:`Reader.find`."""
        return find_files(paths, key, self.prefix, SUFFIXES)

    @contextmanager
    def open(self, file: SpectraFile) -> Iterator[OpenSpectra]:
        """See :meth:`Reader.open`; a file without a column of the settings is refused."""
        with open_arrays(file.path) as arrays:
            columns = self._columns(arrays, file.path)
            self._check_rows(arrays, file.path, len(columns["TARGETID"]))
            yield OpenSpectra(columns, [_TableArm(self, arrays, file.path)])

    def _columns(self, arrays: ArrayFile, path: Path) -> Columns:
        columns: Columns = {c: arrays.column(n) for c, n in self.columns.items()}
        if self.name is not None:
            columns["OBJECT"] = np.char.strip(arrays.column(self.name).astype(str))
        if self.targetid is not None:
            columns["TARGETID"] = integers(arrays.column(self.targetid), self.targetid, path)
        else:
            columns["TARGETID"] = targetids_of(np.asarray(columns["OBJECT"]).tolist(), path)
        if not len(columns["TARGETID"]):
            raise InputError(f"{path}: it has no rows.")
        return columns

    def _check_rows(self, arrays: ArrayFile, path: Path, rows: int) -> None:
        others = (self.ivar, self.error, self.mask if self.use_mask else None, self.name)
        for name in (self.flux, *others, *self.columns.values()):
            if name is not None and (n := arrays.length(name)) != rows:
                raise InputError(
                    f"{path}: {name} has {n} rows and {self.targetid or self.name} {rows}; all "
                    "must have one row per spectrum."
                )


class _TableArm(Arm):
    """The only arm of a table."""

    def __init__(self, reader: Table, arrays: ArrayFile, path: Path) -> None:
        self.name = reader.arms[0]
        self._reader, self._arrays, self._path = reader, arrays, path
        pixels = arrays.pixels(reader.flux)
        if isinstance(reader.wave, str):
            values, where = arrays.common(reader.wave), f"{path}, {reader.wave}"
        else:
            start, step = reader.wave
            values, where = start + step * np.arange(pixels), f"{path}, reader.wave={reader.wave}"
        self.wave = wavelengths(values, reader.wave_unit, where, reader.air)
        if len(self.wave) != pixels:
            raise InputError(
                f"{path}: {reader.flux} has {pixels} pixels per row, but there are "
                f"{len(self.wave)} wavelengths."
            )
        self._scale = flux_scale(reader.flux_unit)

    def rows(self, first: int, last: int) -> tuple[NDArray, NDArray, NDArray | None]:
        """See :meth:`Arm.rows`."""
        reader = self._reader
        flux = self._part(reader.flux, first, last)
        if reader.ivar is not None:
            ivar = self._part(reader.ivar, first, last)
        else:
            sigma = self._part(str(reader.error), first, last)
            good = np.isfinite(sigma) & (sigma > 0)
            ivar = np.zeros_like(sigma)
            ivar[good] = sigma[good] ** -2.0
        mask = None
        if reader.mask is not None and reader.use_mask:
            mask = self._arrays.rows(reader.mask, first, last)
        if self._scale != 1:
            flux, ivar = flux * self._scale, ivar / self._scale**2
        return flux, ivar, mask

    def _part(self, name: str, first: int, last: int) -> NDArray[Any]:
        values = self._arrays.rows(name, first, last)
        if values.shape[1:] != self.wave.shape:
            raise InputError(
                f"{self._path}: {name} has {values.shape[1:]} pixels per row instead of "
                f"{len(self.wave)}."
            )
        if values.dtype.kind != "f":
            return values.astype(np.float64)
        # 1e-17 erg/s/cm²/Å in erg/s/cm²/Å has an ivar of 1e34 that float32 holds only just.
        return values.astype(np.float64) if self._scale != 1 else values
