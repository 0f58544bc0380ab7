"""Writing mock DESI coadds of one exposure and petal (docs/formats.md)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qnal.spectra.fits import create_fits
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.model_grid import F8
from qnal.spectra.mock.observation import camera, expose
from qnal.spectra.mock.targets import Targets

DEAD_CAMERA = {"B": 1 << 22, "R": 1 << 23, "Z": 1 << 24}  # desispec's fibermask.BADAMPB, …
# desitarget's desi_mask: quasar target, galaxy (LRG), Milky Way survey, sky
TARGET_BIT = {"QSO": 1 << 2, "GALAXY": 1 << 0, "STAR": 1 << 61, "SKY": 1 << 32}

# As DESI's pipeline writes BUNIT, which specutils needs.
UNITS = {
    "WAVELENGTH": "Angstrom",
    "FLUX": "10**-17 erg/(s cm2 Angstrom)",
    "IVAR": "10**+34 (s2 cm4 Angstrom2) / erg2",
}


@dataclass(frozen=True)
class Petal:
    """One petal in one exposure of a tile."""

    tileid: int
    expid: int
    night: int
    petal: int

    def path(self, root: Path) -> Path:
        """The file in a tree of the layout ``tiles/perexp``."""
        name = f"coadd-{self.petal}-{self.tileid}-exp{self.expid:08d}.fits"
        return root / str(self.tileid) / f"{self.expid:08d}" / name


def write_coadd(
    root: Path,
    where: Petal,
    targets: Targets,
    seed: list[int],
    config: MockConfig,
) -> None:
    """Observe the targets once and write them as a coadd file.

    Args:
        root: folder of a tree of the layout ``tiles/perexp``.
        where: tile, exposure and petal.
        targets: at most 500, one per fibre from the first.
        seed: seeds the noise and defects of this file.
        config: strengths of the defects.
    """
    n = len(targets)
    rng = np.random.default_rng([*seed, 0])
    # Seeing and transparency differ between exposures, throughput between fibres.
    noise: F8 = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.1, n))
    dead = np.where(rng.random(n) < config.dead_cameras, rng.integers(0, 3, n), -1)
    status = np.zeros(n, np.int32)
    with create_fits(where.path(root)) as out:
        out.write(None)
        out[0].write_keys(
            {
                "SPGRP": "perexp",
                "SPGRPVAL": where.expid,
                "NIGHT": where.night,
                "EXPID": where.expid,
                "TILEID": where.tileid,
                "SPECTRO": where.petal,
                "PETAL": where.petal,
            }
        )
        for k, name in enumerate("BRZ"):
            status[dead == k] |= DEAD_CAMERA[name]
        out.write(_fibermap(where, targets, status), extname="FIBERMAP")
        out.write(_exp_fibermap(where, targets, status), extname="EXP_FIBERMAP")
        for k, name in enumerate("BRZ"):
            cam = camera(name, config.shift)
            stream = np.random.Generator(np.random.SFC64([*seed, 1 + k]))
            frame = expose(stream, cam, targets.signal, noise, config)
            frame.flux[dead == k] = 0
            frame.ivar[dead == k] = 0
            arrays = {"WAVELENGTH": cam.wave, "FLUX": frame.flux, "IVAR": frame.ivar}
            for array, values in arrays.items():
                out.write(values, extname=f"{name}_{array}", header={"BUNIT": UNITS[array]})
            out.write(frame.mask, extname=f"{name}_MASK")


def _fibermap(where: Petal, targets: Targets, status: np.ndarray) -> np.ndarray:
    table = np.zeros(
        len(targets),
        dtype=[
            *(("TARGETID", "i8"), ("PETAL_LOC", "i2"), ("FIBER", "i4"), ("TARGET_RA", "f8")),
            *(("TARGET_DEC", "f8"), ("OBJTYPE", "S3"), ("DESI_TARGET", "i8")),
            *(("FLUX_G", "f4"), ("FLUX_R", "f4"), ("FLUX_Z", "f4")),
            *(("COADD_FIBERSTATUS", "i4"), ("TILEID", "i4")),
        ],
    )
    table["TARGETID"], table["TARGET_RA"] = targets.targetid, targets.ra
    table["TARGET_DEC"], table["PETAL_LOC"] = targets.dec, where.petal
    table["FIBER"], table["TILEID"] = 500 * where.petal + np.arange(len(targets)), where.tileid
    table["OBJTYPE"] = np.where(targets.spectype == "SKY", b"SKY", b"TGT")
    table["DESI_TARGET"] = [TARGET_BIT[s] for s in targets.spectype]
    table["COADD_FIBERSTATUS"] = status
    for band, flux in targets.photometry().items():
        table[band] = flux
    return table


def _exp_fibermap(where: Petal, targets: Targets, status: np.ndarray) -> np.ndarray:
    table = np.zeros(
        len(targets),
        dtype=[
            *(("TARGETID", "i8"), ("PETAL_LOC", "i2"), ("FIBER", "i4"), ("EXPID", "i4")),
            *(("NIGHT", "i4"), ("TILEID", "i4"), ("FIBERSTATUS", "i4")),
        ],
    )
    table["TARGETID"], table["PETAL_LOC"] = targets.targetid, where.petal
    table["FIBER"], table["EXPID"] = 500 * where.petal + np.arange(len(targets)), where.expid
    table["NIGHT"], table["TILEID"], table["FIBERSTATUS"] = where.night, where.tileid, status
    return table
