"""Reading and rebinning a coadd of 500 spectra: QuasarNP's way and ours, in turn, in one process.

Command: python experiments/benchmarks/reading.py [COADD]    (--quick: a second)
Source:  QuasarNP's load_desi_coadd, the package's where it is installed, else the same restated
Cost:    ten seconds, and a mock coadd of 500 spectra (60 MB) where none is given
Expect:  the same work 3.5 times as fast; with masks, signal-to-noise, identity and digest 1.9
         times: of 26 ms, 14 are that work, 6 signal-to-noise, 3 masks, 2 the digest
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import fitsio
import numpy as np
from machine import describe, ratio, side_by_side

from qnal.spectra.fits import opened
from qnal.spectra.grid import named_grid
from qnal.spectra.mock import MockConfig, write_survey
from qnal.spectra.readers.camera import CAMERAS, Camera
from qnal.spectra.readers.desi import read_coadd
from qnal.spectra.rebin import BLOCK, Binning, Rebinner
from qnal.spectra.spectra_file import SpectraFile

GRID = named_grid("log")
WANTED = 3.0


def quasarnp() -> tuple[str, Callable[[Path], object]]:
    """``load_desi_coadd``."""
    try:
        from quasarnp.io import load_desi_coadd
    except ImportError:
        return "restated", restated
    return "the package", load_desi_coadd


def restated(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Its algorithm: whole cameras by cfitsio, a bincount a spectrum."""
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
    """What QuasarNP does, by our means."""
    with opened(path) as fits:
        rows = len(fits.table("FIBERMAP", ["TARGETID"])["TARGETID"])
        rebinner = Rebinner(rows, GRID)
        cameras = [Camera(fits, name, rows, use_mask=False) for name in CAMERAS]
        binnings = [Binning.of(camera.wave, GRID) for camera in cameras]
        for first in range(0, rows, BLOCK):
            for camera, binning in zip(cameras, binnings, strict=True):
                flux, ivar, _ = camera.rows(first, min(first + BLOCK, rows))
                rebinner.add(flux, ivar, binning, None, first)
    return rebinner.renormalised()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coadd", nargs="?", type=Path, help="a coadd file")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        path = given.coadd
        if path is None:
            config = MockConfig(labelled=0, boss=0, pool=500, fibres=500, petals=1, exposures=1)
            path = next(write_survey(config, Path(folder)).pool.rglob("coadd-*.fits"))
        file = SpectraFile(path.name, path)
        how, load = quasarnp()
        ways = {
            "QuasarNP": lambda: load(path),
            "same work": lambda: same_work(path),
            "in full": lambda: read_coadd(file, GRID),
        }
        seconds = side_by_side(ways, 3 if given.quick else 40)
        theirs, (x, status) = load(path)[0], same_work(path)
        print(f"{len(x)} spectra, page cache warm; QuasarNP: {how}")
        print(f"largest difference of spectra {np.abs(x[status == 'ok'] - theirs).max():.1e}")
    for name, times in seconds.items():
        print(f"{name:10} {1e3 * median(times):6.1f} ms  (best {1e3 * min(times):.1f})")
    for name in ("same work", "in full"):
        middle, least, most = ratio(seconds, "QuasarNP", name)
        print(f"{name}: {middle:.2f} times ({least:.2f} to {most:.2f}), wanted {WANTED:.0f}")


if __name__ == "__main__":
    main()
