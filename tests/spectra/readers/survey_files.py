"""The same spectra as files of every format that a reader of the package reads."""

from dataclasses import dataclass
from pathlib import Path

import fitsio
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qnal.spectra.spectra_file import SpectraFile

# Wavelengths of BOSS, all of whose pixels are well within a bin of the log grid.
LOGLAM = np.round(3.5563 + 1e-4 * np.arange(4300), 6)
WAVE = 10**LOGLAM
# Arms of the coadd, which share no pixel.
ARMS = {"B": slice(0, 2000), "R": slice(2000, 3200), "Z": slice(3200, 4300)}


@dataclass(frozen=True)
class SameSpectra:
    """Spectra; the last one has a stretch without data."""

    targetid: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray

    @classmethod
    def make(cls, rows: int = 4, seed: int = 1) -> "SameSpectra":
        rng = np.random.default_rng(seed)
        shape = (rows, len(WAVE))
        flux = 1 + rng.normal(0, 0.3, shape)
        for row, z in enumerate(np.linspace(2.2, 3.2, rows)):
            for line, height in ((1215.67, 8), (1548.2, 5), (1908.7, 3), (2796.35, 2)):
                flux[row] += height * np.exp(-0.5 * ((WAVE / line / (1 + z) - 1) / 0.01) ** 2)
        ivar = rng.uniform(5, 15, shape)
        ivar[-1, 1000:1300] = 0
        flux, ivar = flux.astype(np.float32), ivar.astype(np.float32)
        return cls(np.arange(1, rows + 1) * 1_000_003, flux, ivar)

    def coadd(self, folder: Path) -> SpectraFile:
        fibermap = np.array([(t,) for t in self.targetid], dtype=[("TARGETID", "i8")])
        path = folder / "coadd-same.fits"
        with fitsio.FITS(str(path), "rw", clobber=True) as out:
            out.write(None)
            out.write(fibermap, extname="FIBERMAP")
            for arm, pixels in ARMS.items():
                out.write(WAVE[pixels], extname=f"{arm}_WAVELENGTH")
                out.write(np.ascontiguousarray(self.flux[:, pixels]), extname=f"{arm}_FLUX")
                out.write(np.ascontiguousarray(self.ivar[:, pixels]), extname=f"{arm}_IVAR")
        return SpectraFile(path.name, path)

    def sdss(self, folder: Path) -> list[SpectraFile]:
        kinds = [("flux", "f4"), ("loglam", "f4"), ("ivar", "f4"), ("and_mask", "i4")]
        files = []
        for row, targetid in enumerate(self.targetid):
            table = np.zeros(len(WAVE), kinds)
            table["flux"], table["ivar"] = self.flux[row], self.ivar[row]
            table["loglam"] = LOGLAM
            # Pixels that the mask flags are ignored, whatever their flux.
            bad = self.ivar[row] == 0
            table["and_mask"][bad], table["ivar"][bad], table["flux"][bad] = 4, 7, 99
            path = folder / f"spec-3586-55181-{row + 1:04d}.fits"
            with fitsio.FITS(str(path), "rw", clobber=True) as out:
                header = {"PLATEID": 3586, "MJD": 55181, "FIBERID": row + 1, "PLUG_RA": 150.5}
                out.write(None, header=header)
                out.write(table, extname="COADD")
                kind = [("THING_ID", "i4"), ("OBJTYPE", "S16"), ("PSFFLUX", "f4", 5)]
                found = np.array([(targetid, "QSO", np.arange(5))], kind)
                out.write(found, extname="SPALL")
            files.append(SpectraFile(path.name, path))
        return files

    def phase3(
        self,
        folder: Path,
        unit: str | None = "nm",
        error: str = "ERR_FLUX",
        hdu: str = "PHASE3SPECTRUM",
    ) -> list[SpectraFile]:
        files = []
        scale = {"nm": 0.1}.get(unit or "", 1.0)
        for row in range(len(self.targetid)):
            n = len(WAVE)
            names = ("WAVE", "FLUX", error, "QUAL")
            table = np.zeros(1, list(zip(names, ("f8", "f4", "f4", "i2"), (n,) * 4, strict=True)))
            with np.errstate(divide="ignore"):
                sigma = np.where(self.ivar[row] > 0, self.ivar[row] ** -0.5, np.nan)
            table["WAVE"], table["FLUX"] = WAVE * scale, self.flux[row] * 1e-17
            table[error], table["QUAL"] = sigma * 1e-17, 0
            path = folder / f"l1-{row}.fits"
            flux_unit = "erg cm**(-2) s**(-1) angstrom**(-1)"
            with fitsio.FITS(str(path), "rw", clobber=True) as out:
                header = {"OBJECT": f"4MOST J{row}", "RA": 150.5, "DEC": 2.5, "MJD-OBS": 59000.3}
                out.write(None, header=header)
                units = [unit or "", flux_unit, flux_unit, ""]
                out.write(table, extname=hdu, units=units)
            files.append(SpectraFile(path.name, path))
        return files

    def parquet(self, folder: Path, row_group_size: int = 3) -> SpectraFile:
        path = folder / "same.parquet"
        rows = len(self.targetid)
        table = pa.table(
            {
                "TARGETID": self.targetid,
                "flux": list(self.flux),
                "ivar": list(self.ivar),
                "wave": [WAVE / 10] * rows,
            }
        )
        pq.write_table(table, path, row_group_size=row_group_size)
        return SpectraFile(path.name, path)

    def hdf5(self, folder: Path) -> SpectraFile:
        path = folder / "same.h5"
        with h5py.File(path, "w") as out:
            out["spectra/flux"] = self.flux * np.float32(1e-17)
            with np.errstate(divide="ignore"):
                out["spectra/sigma"] = self.ivar**-0.5 * np.float32(1e-17)
            out["names"] = [f"mock {t}" for t in self.targetid]
        return SpectraFile(path.name, path)
