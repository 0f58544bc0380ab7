"""Target columns of a DESI coadd: FIBERMAP, EXP_FIBERMAP, headers and file name."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, integers
from qnal.spectra.readers.desi.file_names import fields_of_name
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.target_table import Columns

_COPIED = ("TARGET_RA", "TARGET_DEC", "OBJTYPE", "COADD_FIBERSTATUS", "FLUX_G", "FLUX_R", "FLUX_Z")
# May be constant within a file of one exposure, tile or pixel, and then be in a header only.
_PER_FILE = ("TILEID", "EXPID", "NIGHT", "HPXPIXEL", "PETAL_LOC", "SURVEY", "PROGRAM")
_HEADER_NAME = {"PETAL_LOC": "PETAL"}
# Commissioning and survey validation have columns of their own beside an empty DESI_TARGET.
_TARGETING = ("DESI_TARGET", "SV3_DESI_TARGET", "SV2_DESI_TARGET", "SV1_DESI_TARGET", "CMX_TARGET")


def read_fibermap(
    fits: FitsFile, file: SpectraFile, single_exposures: bool = False
) -> tuple[NDArray[np.int64], Columns, str]:
    """TARGETIDs of FIBERMAP's rows and the target columns that the file has.

    Each column is taken from FIBERMAP; if it is not there, from EXP_FIBERMAP, a header or the name
    of the file, in this order.

    Args:
        fits: the open coadd file.
        file: its path and name.
        single_exposures: whether a row is one exposure, whose status is in FIBERSTATUS.

    Returns:
        targetid: shape [rows].
        columns: by name, null where the value of a row is unknown.
        targeting: name of the column that DESI_TARGET is taken from.

    Raises:
        InputError: there is no FIBERMAP, or it has no rows or no usable TARGETID.
    """
    path = file.path
    if not fits.is_table("FIBERMAP"):
        raise InputError(f"{path}: it has no FIBERMAP table, so its spectra have no TARGETID.")
    copied = (*_COPIED, *_PER_FILE, "FIBER")
    fibermap = fits.table("FIBERMAP", ["TARGETID", *copied, *_TARGETING])
    if "TARGETID" not in fibermap:
        raise InputError(f"{path}: its FIBERMAP has no TARGETID column.")
    targetid = integers(fibermap.pop("TARGETID"), "TARGETID", path)
    if not len(targetid):
        raise InputError(f"{path}: its FIBERMAP has no rows.")
    columns: Columns = {n: fibermap[n] for n in copied if n in fibermap}
    if single_exposures:
        columns |= fits.table("FIBERMAP", ["FIBERSTATUS"])
        columns["COADD_FIBERSTATUS"] = columns.pop("FIBERSTATUS", np.full(len(targetid), None))
    targeting = _targeting(fibermap)
    if targeting in fibermap:
        columns["DESI_TARGET"] = fibermap[targeting]
    missing = [name for name in (*_PER_FILE, "FIBER") if name not in columns]
    several_exposures = _fill_from_exposures(columns, missing, fits, targetid)
    _fill_from_headers(columns, missing, fits, several_exposures)
    return targetid, columns, targeting


def _targeting(fibermap: dict[str, NDArray]) -> str:
    """The targeting column of the survey phase that the file belongs to."""
    present = [name for name in _TARGETING if name in fibermap]
    used = [name for name in present if np.any(fibermap[name] != 0)]
    return [*used, *present, "DESI_TARGET"][0]


def _fill_from_exposures(
    columns: Columns, missing: list[str], fits: FitsFile, targetid: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Add columns of EXP_FIBERMAP; returns which targets have more than one EXPID."""
    several = np.zeros(len(targetid), bool)
    if not fits.is_table("EXP_FIBERMAP"):
        return several
    exposures = fits.table("EXP_FIBERMAP", ["TARGETID", *missing])
    if "TARGETID" not in exposures:
        return several
    key = integers(exposures.pop("TARGETID"), "TARGETID", fits.path)
    for name, values in exposures.items():
        columns[name], ambiguous = _common_value(key, values, targetid)
        if name == "EXPID":
            several = ambiguous
    return several


def _fill_from_headers(
    columns: Columns, missing: list[str], fits: FitsFile, several_exposures: NDArray[np.bool_]
) -> None:
    """Fill what is still null from the headers or the file name."""
    headers = [fits.header("FIBERMAP"), fits.header(0)]
    from_name = fields_of_name(fits.path)
    rows = len(several_exposures)
    for name in missing:
        names = (name, _HEADER_NAME.get(name))
        found = [h[n] for h in headers for n in names if n and n in h]
        value = found[0] if found else from_name.get(name)
        if value is None:
            continue
        if name not in columns:
            columns[name] = np.full(rows, value)
            continue
        unknown = np.asarray(pd.isna(columns[name]))
        if name == "EXPID":  # one exposure's number is wrong for a target that has several
            unknown = unknown & ~several_exposures
        if unknown.any():
            columns[name] = np.where(unknown, value, np.asarray(columns[name], object))


def _common_value(
    key: NDArray[np.int64], values: NDArray, targetid: NDArray[np.int64]
) -> tuple[NDArray | pd.Series, NDArray[np.bool_]]:
    """The value on which all exposures of a target agree, and the targets that have several."""
    if values.ndim != 1:
        return pd.Series([None] * len(targetid), dtype=object), np.zeros(len(targetid), bool)
    if np.array_equal(key, targetid) and len(np.unique(key)) == len(key):
        return values, np.zeros(len(targetid), bool)  # one exposure each, in the same order
    pairs = pd.DataFrame({"key": key, "value": values}).drop_duplicates()
    repeated = pairs["key"].duplicated(keep=False)
    unique = pairs[~repeated]
    common = pd.Series(unique["value"].to_numpy(object), index=unique["key"])
    ambiguous = np.isin(targetid, pairs.loc[repeated, "key"])
    return common.reindex(targetid).reset_index(drop=True), ambiguous


def targeting_column(fits: FitsFile) -> str:
    """Name of the column of FIBERMAP that the DESI_TARGET of a target table is taken from."""
    return _targeting(fits.table("FIBERMAP", _TARGETING))
