"""Redrock's results for mock spectra: mostly right, and wrong in the ways that are known of it.

Redrock is not run. Its results follow from the true class and redshift and the signal-to-noise,
with these errors (docs/redrock.md): quasars below z = 2.1 confidently called galaxies, some of them
at the end of the galaxy templates; Lyman α seen where two cameras join; galaxies at the end of
their templates; noise called quasar, and warnings for faint spectra.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.fits import create_fits
from qnal.spectra.mock.coadds import Petal
from qnal.spectra.mock.targets import Targets

AS_GALAXY = 0.12  # share of the quasars below LOW_Z that are called galaxies
LOW_Z = 2.1
AT_TEMPLATE_END = 0.4  # share of these, and of the faintest galaxies, at the end of the templates
TEMPLATE_END = (1.58, 1.70)
AT_JOIN = 0.03  # share of the quasars with a false Lyman α where cameras B and R join
JOIN_Z = (3.71, 3.80)
STAR_AS_QUASAR, SKY_AS_QUASAR = 0.01, 0.04
SMALL_DELTA_CHI2 = 1 << 2  # Redrock's bit of ZWARN
LEAST_DELTA_CHI2 = 9.0  # below it the bit is set
MGII_FINDS = 0.5  # share of the quasars called galaxies that the Mg II afterburner finds

DTYPE = np.dtype(
    [
        *(("TARGETID", "i8"), ("Z", "f8"), ("ZERR", "f8"), ("ZWARN", "i8"), ("CHI2", "f8")),
        *(("COEFF", "f8", (10,)), ("NPIXELS", "i8"), ("SPECTYPE", "S6"), ("SUBTYPE", "S20")),
        *(("NCOEFF", "i8"), ("DELTACHI2", "f8")),
    ]
)


def write_redrock(root: Path, where: Petal, targets: Targets, seed: list[int]) -> None:
    """Write ``redrock-*.fits`` and ``qso_mgii-*.fits`` beside a coadd.

    Args:
        root: folder of the tree.
        where: tile, exposure and petal.
        targets: those of the coadd, in its order.
        seed: of the random numbers.
    """
    table, mgii = results(np.random.default_rng(seed), targets)
    coadd = where.path(root)
    for prefix, hdu, content in (("redrock", "REDSHIFTS", table), ("qso_mgii", "MGII", mgii)):
        with create_fits(coadd.with_name(coadd.name.replace("coadd", prefix, 1))) as out:
            out.write(content, extname=hdu)


def results(rng: np.random.Generator, targets: Targets) -> tuple[NDArray, NDArray]:
    """Redrock's table and that of the Mg II afterburner, one row per target."""
    n = len(targets)
    table = np.zeros(n, DTYPE)
    table["TARGETID"] = targets.targetid
    truth = targets.spectype
    is_qso, is_sky = truth == "QSO", truth == "SKY"
    spectype = np.where(is_sky, "GALAXY", truth).astype("U6")
    z = np.where(is_sky, rng.uniform(0, 1.7, n), np.nan_to_num(targets.z))
    z += rng.normal(0, 1, n) * np.where(is_qso, 8e-4, 1e-4) * (1 + z)

    chance, kind = rng.random(n), rng.random(n)
    lost = is_qso & (targets.z < LOW_Z) & (chance < AS_GALAXY)
    faint = (truth == "GALAXY") & (targets.snr < 1) & (chance < 0.3)
    end = (lost | faint) & (kind < AT_TEMPLATE_END)
    spectype[lost] = "GALAXY"
    z = np.where(lost | faint, rng.uniform(0.05, 1.5, n), z)
    z = np.where(end, rng.uniform(*TEMPLATE_END, n), z)
    join = is_qso & ~lost & (kind < AT_JOIN)
    z = np.where(join, rng.uniform(*JOIN_Z, n), z)
    noise = ((truth == "STAR") & (chance < STAR_AS_QUASAR)) | (is_sky & (chance < SKY_AS_QUASAR))
    spectype[noise] = "QSO"
    z = np.where(noise, rng.uniform(0.3, 4.0, n), z)

    # χ² of features grows with the square of the signal-to-noise.
    strength = np.where(is_qso, 400, np.where(truth == "STAR", 600, 200))
    delta = strength * np.where(is_sky, 0, targets.snr) ** 2 * np.exp(rng.normal(0, 0.7, n))
    delta = np.where(is_sky | faint, rng.exponential(8, n), delta)
    table["Z"], table["SPECTYPE"] = z, spectype.astype("S6")
    table["ZERR"] = 1e-4 * (1 + z) / np.sqrt(1 + delta / 100)
    table["DELTACHI2"] = delta
    table["ZWARN"] = np.where(delta < LEAST_DELTA_CHI2, SMALL_DELTA_CHI2, 0)
    table["NPIXELS"] = 7958
    table["CHI2"] = table["NPIXELS"] + rng.normal(0, 120, n)
    table["SUBTYPE"] = np.where(spectype == "STAR", b"G", b"")
    table["NCOEFF"] = np.where(spectype == "GALAXY", 10, 4)
    table["COEFF"][:, 0] = targets.snr

    mgii = np.zeros(n, [("TARGETID", "i8"), ("IS_QSO_MGII", "?")])
    mgii["TARGETID"] = targets.targetid
    mgii["IS_QSO_MGII"] = lost & (rng.random(n) < MGII_FINDS)
    return table, mgii
