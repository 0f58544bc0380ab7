"""BOSS/eBOSS training files and their truth (FORMATS.md section 3)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.coadd import opened
from qnal.spectra.grid import LOG_PIXELS, Grid
from qnal.spectra.label import labels
from qnal.spectra.rebin import renormalise
from qnal.spectra.truth import Truth

LOG_WAVE_START, LOG_WAVE_STEP = 3.555, 1e-4
DROPPED_TARGETID = -1

# (column, code of a confident answer, codes of STAR, GALAXY, QSO) of the two truth dialects.
_DIALECTS: dict[str, dict[str, Any]] = {
    "THING_ID": {
        "z": "Z_VI",
        "class": "CLASS_PERSON",
        "conf": "Z_CONF_PERSON",
        "confident": 3,
        "codes": {1: "STAR", 4: "GALAXY", 3: "QSO", 30: "QSO"},
    },
    "TARGETID": {
        "z": "Z",
        "class": "OBJCLASS",
        "conf": "Z_CONF",
        "confident": 2,
        "codes": {1: "STAR", 2: "GALAXY", 3: "QSO"},
    },
}


def read_boss_spectra(
    path: Path, grid: Grid
) -> tuple[NDArray[np.float64], NDArray[np.str_], NDArray[np.int64]]:
    """Read a DR12 training file of either layout.

    Flux is taken to float64 before it is weighted: that is what QuasarNP answered for these files.

    Returns:
        x: renormalised spectra, shape [rows, npix].
        status: :class:`~qnal.spectra.rebin.Status` of each row.
        targetid: THING_ID of each row, −1 for rows to be dropped.
    """
    with opened(path) as fits:
        try:
            rebinned = fits[1].get_exttype() != "IMAGE_HDU"
            targetid = fits[1 if rebinned else 2]["TARGETID"].read().astype(np.int64)
            flux = fits[0].read().astype(np.float64)
            ivar = None if rebinned else fits[1].read().astype(np.float64)
        except (IndexError, AttributeError) as error:
            raise InputError(
                f"{path}: it is no BOSS training file, which has flux, ivar and a table with "
                "TARGETID, or flux and ivar side by side and the table."
            ) from error
    if ivar is None:
        flux, ivar, wave = _split_rebinned(flux, path)
    else:
        wave = 10 ** (LOG_WAVE_START + LOG_WAVE_STEP * np.arange(flux.shape[-1]))
    if flux.ndim != 2 or flux.shape != ivar.shape or len(flux) != len(targetid):
        raise InputError(
            f"{path}: flux {flux.shape}, ivar {ivar.shape} and {len(targetid)} TARGETIDs do not "
            "belong together; both arrays have one row a TARGETID."
        )
    x, status = renormalise(flux, ivar, wave, grid)
    return x, status, targetid


def _split_rebinned(both: NDArray, path: Path) -> tuple[NDArray, NDArray, NDArray]:
    """The older layout: flux and ivar side by side, already on the log grid."""
    if both.ndim != 2 or both.shape[1] != 2 * LOG_PIXELS:
        raise InputError(
            f"{path}: HDU0 has shape {both.shape}; flux and ivar side by side have "
            f"{2 * LOG_PIXELS} columns."
        )
    # Centres of the bins, so that no rounding moves a pixel into the bin beside.
    wave = 10 ** (np.log10(3600.0) + 1e-3 * (np.arange(LOG_PIXELS) + 0.5))
    return both[:, :LOG_PIXELS], both[:, LOG_PIXELS:], wave


def read_boss_truth(paths: Sequence[Path], high_z: float) -> Truth:
    """Read truth tables of either dialect; uninspected rows are left out.

    BAL is +1 with a flag and BI_CIV > 0, −1 with neither, 0 where they disagree or BI_CIV is NaN.
    """
    rows = pd.concat([_read_truth(path) for path in paths], ignore_index=True)
    counts = {"truth_rows": len(rows)}
    inspected = rows["INSPECTED"]
    known = rows["SPECTYPE"].notna() | ~rows["CONFIDENT"]
    counts["truth_uninspected"] = int((~inspected).sum())
    counts["truth_unknown_class"] = int((inspected & ~known).sum())
    rows = rows[inspected & known]
    repeated = rows["TARGETID"].duplicated(keep=False)
    differs = rows.groupby("TARGETID")[["SPECTYPE", "Z", "CONFIDENT"]].transform("nunique") > 1
    conflict = repeated & differs.any(axis=1)
    counts["truth_conflicts"] = int(rows.loc[conflict, "TARGETID"].nunique())
    rows = rows[~conflict].drop_duplicates("TARGETID").set_index("TARGETID").sort_index()
    rows["LABEL"] = labels(
        rows["SPECTYPE"].fillna("").to_numpy(str),
        rows["Z"].to_numpy(float),
        rows["CONFIDENT"].to_numpy(bool),
        high_z,
    )
    counts["truth_targets"] = len(rows)
    return Truth(rows[["LABEL", "Z", "BAL"]], counts)


def _read_truth(path: Path) -> pd.DataFrame:
    with opened(path) as fits:
        if len(fits) < 2 or not isinstance(fits[1], fitsio.hdu.TableHDU):
            raise InputError(f"{path}: HDU1 is no table; a BOSS truth file has its table there.")
        present = fits[1].get_colnames()
        key = next((k for k in _DIALECTS if k in present), None)
        dialect = _DIALECTS[key] if key else {}
        needed = [dialect[k] for k in ("z", "class", "conf")] if key else list(_DIALECTS)
        missing = [c for c in (*needed, "BAL_FLAG_VI", "BI_CIV") if c not in present]
        if key is None or missing:
            raise InputError(
                f"{path}: no column {', '.join(missing)}; a BOSS truth table has THING_ID, Z_VI, "
                "CLASS_PERSON, Z_CONF_PERSON or TARGETID, Z, OBJCLASS, Z_CONF, and BAL_FLAG_VI, "
                "BI_CIV."
            )
        data = fits[1].read(columns=[key, *needed, "BAL_FLAG_VI", "BI_CIV"])
    flag, bi = data["BAL_FLAG_VI"] > 0, data["BI_CIV"]
    return pd.DataFrame(
        {
            "TARGETID": data[key].astype(np.int64),
            "Z": data[dialect["z"]].astype(float),
            "SPECTYPE": pd.Series(data[dialect["class"]].astype(int)).map(dialect["codes"]),
            "CONFIDENT": data[dialect["conf"]] == dialect["confident"],
            "INSPECTED": (data[dialect["class"]] > 0) | (data[dialect["conf"]] > 0),
            "BAL": ((flag & (bi > 0)).astype(int) - (~flag & (bi == 0))).astype(np.int8),
        }
    )
