"""Reading and rebinning a coadd of 500 spectra: QuasarNP and qnal in turn, in one process.

Command: python experiments/benchmarks/reading.py [COADD]    (--quick: a few seconds)
Source:  QuasarNP's load_desi_coadd, of the installed package or restated here
Cost:    a minute, and a mock coadd of 500 spectra (48 MB) unless one is given
Expect:  the same work at least twice as fast; with masks, signal-to-noise, target table and digest
         about 1.7 times on a quiet machine, and as fast where other jobs use the memory
"""

import argparse
import gzip
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import fitsio
import numpy as np
from machine import describe, ratio, side_by_side

from qnal.spectra.fits import open_fits
from qnal.spectra.grid import named_grid
from qnal.spectra.mock import MockConfig, write_survey
from qnal.spectra.readers.desi import CAMERAS, read_coadd
from qnal.spectra.readers.desi.camera import Camera
from qnal.spectra.rebin import Rebinner
from qnal.spectra.spectra_file import SpectraFile

GRID = named_grid("log")
WANTED = 2.0


def quasarnp() -> tuple[str, Callable[[Path], object]]:
    """``load_desi_coadd``, and where it is from."""
    try:
        from quasarnp.io import load_desi_coadd
    except ImportError:
        return "restated", restated
    return "the package", load_desi_coadd


def restated(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Its algorithm: whole cameras read by CFITSIO, one bincount per spectrum."""
    total: np.ndarray | float = 0.0
    weight: np.ndarray | float = 0.0
    with fitsio.FITS(str(path)) as fits:
        keep = np.ones(len(fits["B_FLUX"].read()), bool)
        for name in CAMERAS:
            flux, ivar = (fits[f"{name}_{what}"].read()[keep, :] for what in ("FLUX", "IVAR"))
            bins = GRID.bins(fits[f"{name}_WAVELENGTH"].read())
            inside = bins >= 0
            product, ivar, bins = (flux * ivar)[:, inside], ivar[:, inside], bins[inside]
            sums = [
                np.array([np.bincount(bins, row, len(GRID)) for row in values])
                for values in (product, ivar)
            ]
            total, weight = total + sums[0], weight + sums[1]
    x = np.divide(total, weight, out=np.asarray(total), where=weight != 0)
    used = np.flatnonzero(weight.sum(axis=1) != 0)
    x, weight = x[used], weight[used]
    mean = np.average(x, axis=1, weights=weight)[:, None]
    rms = np.sqrt(np.average((x - mean) ** 2, axis=1, weights=weight))[:, None]
    return (x - mean) / rms, used


def same_work(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """What ``load_desi_coadd`` computes, with qnal's functions."""
    with open_fits(path) as fits:
        rows = len(fits.table("FIBERMAP", ["TARGETID"])["TARGETID"])
        rebinner = Rebinner(rows, GRID)
        for name in CAMERAS:
            camera = Camera(fits, name, rows, use_mask=False)
            flux, ivar, _ = camera.rows(0, rows)
            rebinner.add(flux, ivar, camera.wave)
    return rebinner.renormalised()


def uncached(path: Path) -> None:
    """Drop a file from the page cache, where the system allows it."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_uncached(file: SpectraFile) -> None:
    """Read a coadd from disk."""
    uncached(file.path)
    read_coadd(file, GRID)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coadd", nargs="?", type=Path, help="a coadd file, not gzipped")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        path = given.coadd
        if path is None:
            config = MockConfig(labelled=0, boss=0, pool=500, fibres=500, petals=1, exposures=1)
            path = next(write_survey(config, Path(folder)).pool.rglob("coadd-*.fits"))
        file = SpectraFile(path.name, path)
        zipped = SpectraFile("coadd.fits.gz", Path(folder, "coadd.fits.gz"))
        zipped.path.write_bytes(gzip.compress(path.read_bytes(), 1))
        how, load = quasarnp()
        ways = {
            "QuasarNP": lambda: load(path),
            "same work": lambda: same_work(path),
            "in full": lambda: read_coadd(file, GRID),
        }
        seconds = side_by_side(ways, 3 if given.quick else 40)
        seconds |= side_by_side(
            {
                "from disk": lambda: read_uncached(file),
                "gzipped": lambda: read_coadd(zipped, GRID),
            },
            1 if given.quick else 8,
        )
        theirs, (x, status) = load(path)[0], same_work(path)
        print(f"{len(x)} spectra, page cache warm; QuasarNP: {how}")
        print(f"largest difference of spectra {np.abs(x[status == 'ok'] - theirs).max():.1e}")
    for name, times in seconds.items():
        print(f"{name:10} {1e3 * median(times):6.1f} ms  (best {1e3 * min(times):.1f})")
    for name, wanted in (("same work", f", wanted {WANTED:.0f}"), ("in full", "")):
        middle, least, most = ratio(seconds, "QuasarNP", name)
        print(f"{name}: {middle:.2f} times ({least:.2f} to {most:.2f}){wanted}")


if __name__ == "__main__":
    main()
