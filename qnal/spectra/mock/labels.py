"""Labels of mock spectra: simulated visual inspection, and the true classes."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.model_grid import F8
from qnal.spectra.mock.targets import Targets

CONFIDENT = 2.5  # smallest mean quality of a confident label
SPECTYPES = ("QSO", "GALAXY", "STAR")
# Signal-to-noise needed to recognise a spectrum of this kind, relative to an ordinary one
DIFFICULTY = {"WEAK": 2.5, "PASSIVE": 1.2, "ELG": 0.8, "SEYFERT2": 0.7, "M": 0.7, "WD": 1.4}
CLASS_PERSON = {"STAR": 1, "GALAXY": 4, "QSO": 3}
BAL_QUASAR = 30
CIV_IN_BOSS = 1.57  # redshift from which BOSS covers the whole range of the balnicity index


def inspected(
    rng: np.random.Generator, targets: Targets, snr: F8, config: MockConfig
) -> tuple[F8, NDArray[np.str_], F8]:
    """Simulated quality, class and redshift of merged inspections, each of shape [n].

    The mean quality (0 to 4 in halves) follows the signal-to-noise, and is 2 for an ordinary
    spectrum of ``config.inspection_snr``. Below 2.5 many classes and
    redshifts are wrong; above, a share ``config.label_errors`` of the classes is.
    """
    n = len(targets)
    hard = np.array([DIFFICULTY.get(k, 1.0) for k in targets.kind])
    hard *= np.where(targets.oddity != "", 3.0, 1.0)
    logit = np.log(np.maximum(snr, 1e-3) / (config.inspection_snr * hard)) / 0.3
    mean = 4 / (1 + np.exp(-logit)) + rng.normal(0, 0.3, n)
    quality = np.clip(np.round(2 * mean) / 2, 0, 4)
    unsure = quality < CONFIDENT
    wrong_class = rng.random(n) < np.where(unsure, 0.3, config.label_errors)
    wrong_z = wrong_class | (unsure & (rng.random(n) < 0.4))
    turn = rng.integers(1, 3, n)
    order = np.array([SPECTYPES.index(s) for s in targets.spectype], dtype=np.int64)
    spectype = np.array(SPECTYPES)[np.where(wrong_class, order + turn, order) % 3]
    z = np.where(wrong_z, rng.uniform(0, 3.0, n), targets.z + rng.normal(0, 5e-4, n))
    z = np.where(wrong_z & (spectype == "GALAXY"), z / 2, z)
    z = np.where(wrong_z & (spectype == "STAR"), 0.0, z)
    rounded: F8 = np.asarray(np.round(z, 5), np.float64)
    return quality, np.asarray(spectype, np.str_), rounded


def desi_truth(
    rng: np.random.Generator, targets: Targets, exposures: NDArray[np.int64], config: MockConfig
) -> pd.DataFrame:
    """A table of visual inspection with QuasarNET's column names.

    Args:
        rng: source of random numbers.
        targets: without sky fibres.
        exposures: number of exposures that were inspected, shape [n].
        config: share of wrong labels.
    """
    quality, spectype, z = inspected(rng, targets, targets.snr * np.sqrt(exposures), config)
    return pd.DataFrame(
        {"TARGETID": targets.targetid, "VI_Z": z, "VI_QUALITY": quality, "VI_CLASS": spectype}
    )


def pool_truth(targets: Targets) -> pd.DataFrame:
    """True class and redshift of the pool's targets; redshifts of sky fibres are NaN."""
    return pd.DataFrame(
        {
            "TARGETID": targets.targetid,
            "Z": np.round(targets.z, 6),
            "CLASS": targets.spectype,
            "SUBCLASS": targets.kind,
            "BAL": targets.bi_civ > 0,
            "ODDITY": targets.oddity,
            "SNR": np.round(targets.snr, 4),
        }
    )


def boss_truth(rng: np.random.Generator, targets: Targets, config: MockConfig) -> NDArray[np.void]:
    """A truth table of BOSS with the columns of the DR12Q superset, shape [n].

    PLATE, MJD and FIBERID are 0, to be filled in by the caller.
    """
    n = len(targets)
    quality, spectype, z = inspected(rng, targets, targets.snr, config)
    confidence = np.where(quality >= CONFIDENT, 3, np.clip(np.floor(quality), 0, 2)).astype(
        np.int32
    )
    code = np.array([CLASS_PERSON[s] for s in spectype], np.int32).reshape(n)
    # Some of the faintest have no class, which excludes them from training.
    code[(confidence == 0) & (rng.random(n) < 0.5)] = 0
    seen = (targets.spectype == "QSO") & (targets.z > CIV_IN_BOSS) & (spectype == "QSO")
    index = np.where(seen, targets.bi_civ, 0.0)
    index[seen & (rng.random(n) < 0.02)] = np.nan
    # Visual inspection misses some weak troughs and finds some with an index of 0.
    seen_by_eye = np.where(index > 500, 0.98, np.where(index > 0, 0.7, 0.01))
    flag = (seen & (rng.random(n) < seen_by_eye)).astype(np.int16)
    code[(flag == 1) & (code == 3)] = BAL_QUASAR
    out = np.zeros(
        n,
        dtype=[
            *(("THING_ID", "i4"), ("PLATE", "i4"), ("MJD", "i4"), ("FIBERID", "i4")),
            *(("Z_VI", "f8"), ("CLASS_PERSON", "i4"), ("Z_CONF_PERSON", "i4")),
            *(("BAL_FLAG_VI", "i2"), ("BI_CIV", "f8")),
        ],
    )
    out["THING_ID"], out["Z_VI"], out["CLASS_PERSON"] = targets.targetid, z, code
    out["Z_CONF_PERSON"], out["BAL_FLAG_VI"], out["BI_CIV"] = confidence, flag, index
    return out
