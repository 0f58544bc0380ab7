"""Makes a labelled survey from public template libraries, with the noise of real coadds.

Simulated loops are judged on it, since its spectra have nothing to do with qnal's mock survey.

Source:  the archetypes of galaxies, quasars and stars that Redrock reads (rrarchetype-*.fits, see
         https://github.com/desihub/redrock-archetypes), and the inverse variances of any DESI
         coadds, such as those of the Early Data Release
Command: python experiments/template_survey.py OUT --archetypes FOLDER --coadds FOLDER
Cost:    4 ms per spectrum of an exposure on one core, and 95 kB of disk
Expect:  OUT/labelled/tiles/perexp with a coadd per petal and exposure, and OUT/labelled.csv with
         what an inspector would say, whose quality falls with the signal-to-noise
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.spectra.fits import create_fits

Array = NDArray[np.float64]
CAMERAS = {"B": (3600.0, 2751), "R": (5760.0, 2326), "Z": (7520.0, 2881)}  # first pixel, pixels
STEP = 0.8  # width of a pixel in Å
R_BAND = (5600.0, 7000.0)
R_OF_22 = 0.44  # mean flux of r = 22 in the r band, in 1e-17 erg/s/cm²/Å
SHARES = {"GALAXY": 0.42, "QSO": 0.34, "STAR": 0.24}
PETAL = 250  # targets per petal
TILE, EXPOSURE = 81_000, 95_000  # first numbers


@dataclass(frozen=True)
class Library:
    """Archetypes of one class: rest wavelengths in Å, and fluxes [archetypes, wavelengths]."""

    wave: Array
    flux: Array

    @staticmethod
    def read(path: Path) -> "Library":
        """Read a file in Redrock's format."""
        with fitsio.FITS(str(path)) as file:
            header, flux = file["ARCHETYPES"].read_header(), file["ARCHETYPES"]["ARCHETYPE"][:]
        wave = header["CRVAL1"] + header["CDELT1"] * np.arange(flux.shape[1])
        return Library(10**wave if header["LOGLAM"] else wave, flux.astype(float))

    def observed(self, k: int, z: float, wave: Array) -> Array:
        """An archetype at a redshift; the edges continue flat where it ends."""
        return np.interp(wave / (1 + z), self.wave, self.flux[k])


def redshift(kind: str, rng: np.random.Generator) -> float:
    """A redshift as a survey of faint targets would have."""
    if kind == "STAR":
        return float(rng.normal(0, 2.5e-4))
    if kind == "GALAXY":
        return float(np.clip(rng.gamma(6, 0.14), 0.05, 1.6))
    return float(0.2 + 4.3 * rng.beta(2.2, 3.2))


def forest(wave: Array, z: float) -> Array:
    """Mean transmission blueward of Lyman alpha (Faucher-Giguère et al. 2008) and of the limit."""
    absorber = wave / 1215.67
    transmission = np.where(absorber < 1 + z, np.exp(-0.0018 * absorber**3.92), 1.0)
    return np.where(wave < 911.75 * (1 + z), 0.1 * transmission, transmission)


def inverse_variances(folder: Path) -> dict[str, Array]:
    """Inverse variances of all spectra of real coadds that have data in every camera."""
    parts: dict[str, list[Array]] = {camera: [] for camera in CAMERAS}
    for path in sorted(folder.rglob("coadd-*.fits*")):
        with fitsio.FITS(str(path)) as file:
            found = {camera: file[f"{camera}_IVAR"].read().astype(float) for camera in CAMERAS}
        good = np.all([(v > 0).mean(axis=1) > 0.9 for v in found.values()], axis=0)
        for camera, values in found.items():
            parts[camera].append(values[good])
    if not any(len(p) for p in parts["B"]):
        raise SystemExit(f"{folder}: no coadd there has a spectrum with data in all cameras.")
    return {camera: np.concatenate(values) for camera, values in parts.items()}


def draw(number: int, libraries: dict[str, Library], magnitude: tuple[float, float], seed: int):
    """Targets (a table) and their spectra without noise, by camera [targets, pixels]."""
    rng = np.random.default_rng([seed, 1])
    waves = {c: first + STEP * np.arange(pixels) for c, (first, pixels) in CAMERAS.items()}
    band = np.arange(*R_BAND, 10.0)
    kinds = rng.choice(list(SHARES), number, p=list(SHARES.values()))
    signal = {c: np.zeros((number, len(wave)), np.float32) for c, wave in waves.items()}
    rows = []
    for i, kind in enumerate(kinds):
        library, z = libraries[kind], redshift(kind, rng)
        k, tilt = rng.integers(len(library.flux)), rng.normal(0, 0.3)
        mag = float(np.clip(rng.normal(*magnitude), 18, 23.5))

        def spectrum(wave, library=library, z=z, k=k, tilt=tilt, kind=kind):
            flux = library.observed(k, z, wave) * (wave / 6000) ** tilt
            return flux * forest(wave, z) if kind == "QSO" else flux

        level = R_OF_22 * 10 ** (-0.4 * (mag - 22)) / max(spectrum(band).mean(), 1e-30)
        for camera, wave in waves.items():
            signal[camera][i] = level * spectrum(wave)
        rows.append((kind, z, mag))
    table = pd.DataFrame(rows, columns=["SPECTYPE", "Z", "MAG"])
    ids = 39_628_000_000_000_000 + np.sort(rng.choice(10**8, number, replace=False))
    table.insert(0, "TARGETID", ids)
    return table, signal


def write_coadd(path: Path, table, signal, noise, exposure: int, petal: int, rng) -> Array:
    """Write one exposure; returns the signal-to-noise per pixel of each target, in R."""
    number = len(table)
    row = rng.integers(len(noise["B"]), size=number)
    transparency = rng.lognormal(0, 0.2)
    with create_fits(path) as out:
        out.write(None)
        out[0].write_keys({"TILEID": TILE, "PETAL": petal, "EXPID": exposure})
        out.write(_fibres(table["TARGETID"], exposure, petal), extname="FIBERMAP")
        out.write(_fibres(table["TARGETID"], exposure, petal), extname="EXP_FIBERMAP")
        for camera, (first, pixels) in CAMERAS.items():
            ivar = noise[camera][row] * transparency
            # Poisson noise of the object, of about a fiftieth of its flux.
            known = ivar > 0
            variance = 1 / np.where(known, ivar, 1) + 0.02 * np.abs(signal[camera])
            flux = signal[camera] + np.sqrt(variance) * rng.normal(size=variance.shape)
            ivar = np.where(known, 1 / variance, 0)
            out.write(first + STEP * np.arange(pixels), extname=f"{camera}_WAVELENGTH")
            out.write(np.where(known, flux, 0).astype("f4"), extname=f"{camera}_FLUX")
            out.write(ivar.astype("f4"), extname=f"{camera}_IVAR")
            out.write(np.zeros(ivar.shape, "i4"), extname=f"{camera}_MASK")
            if camera == "R":
                snr = np.median(np.abs(signal[camera]) * np.sqrt(ivar), axis=1)
    return snr


def _fibres(targetid, exposure: int, petal: int):
    columns = [("TARGETID", "i8"), ("PETAL_LOC", "i2"), ("FIBER", "i4"), ("EXPID", "i4")]
    columns += [("NIGHT", "i4"), ("TILEID", "i4"), ("COADD_FIBERSTATUS", "i4")]
    columns += [("OBJTYPE", "S3"), ("DESI_TARGET", "i8")]
    fibres = np.zeros(len(targetid), columns)
    fibres["TARGETID"], fibres["PETAL_LOC"], fibres["TILEID"] = targetid, petal, TILE
    fibres["FIBER"], fibres["EXPID"] = 500 * petal + np.arange(len(targetid)), exposure
    fibres["NIGHT"], fibres["OBJTYPE"], fibres["DESI_TARGET"] = 20_220_101, b"TGT", 4
    return fibres


def main() -> None:
    """Write the survey that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--archetypes", type=Path, required=True, help="folder of rrarchetype-*")
    parser.add_argument("--coadds", type=Path, required=True, help="coadds that lend their noise")
    parser.add_argument("--targets", type=int, default=3000)
    parser.add_argument("--exposures", type=int, default=2, help="exposures of each target")
    parser.add_argument(
        "--mag", type=float, nargs=2, default=(21.8, 0.9), help="mean, scatter of r"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    files = {kind: given.archetypes / f"rrarchetype-{kind.lower()}.fits" for kind in SHARES}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise SystemExit(f"{', '.join(missing)}: no such file; --archetypes takes Redrock's.")
    libraries = {kind: Library.read(path) for kind, path in files.items()}
    noise = inverse_variances(given.coadds)
    table, signal = draw(given.targets, libraries, tuple(given.mag), given.seed)
    rng = np.random.default_rng([given.seed, 2])
    best = np.zeros(len(table))
    for petal, start in enumerate(range(0, len(table), PETAL)):
        part = slice(start, start + PETAL)
        for k in range(given.exposures):
            exposure = EXPOSURE + petal // 10 * given.exposures + k
            name = f"coadd-{petal % 10}-{TILE}-exp{exposure:08d}.fits"
            path = given.out / "labelled/tiles/perexp" / str(TILE) / f"{exposure:08d}" / name
            own = {camera: values[part] for camera, values in signal.items()}
            snr = write_coadd(path, table[part], own, noise, exposure, petal % 10, rng)
            best[part] = np.hypot(best[part], snr)  # of all exposures together
    # An inspector is sure of three quarters at a signal-to-noise of about 0.3 per pixel.
    quality = 3 + 1.5 * np.log10(np.maximum(best, 1e-3) / 0.3) + rng.normal(0, 0.5, len(best))
    inspected = table[["TARGETID", "Z", "SPECTYPE"]].assign(
        QUALITY=np.clip(np.round(2 * quality) / 2, 0, 4)
    )
    names = {"Z": "VI_Z", "SPECTYPE": "VI_SPECTYPE", "QUALITY": "VI_QUALITY"}
    inspected.rename(columns=names).to_csv(given.out / "labelled.csv", index=False)
    table.assign(SNR=best).to_csv(given.out / "truth.csv", index=False)
    print(f"{len(table)} targets in {given.out}; {(inspected['QUALITY'] >= 2.5).mean():.0%} sure")


if __name__ == "__main__":
    main()
