"""Which object, fibre and exposure each row of a coadd is (FORMATS.md sections 2 and 11)."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, integers
from qnal.spectra.spectra_file import SpectraFile

# Identity and target columns of the scores table (FORMATS.md section 11), in its order.
TARGET_COLUMNS = pa.schema(
    [
        pa.field("TARGETID", pa.int64(), nullable=False),
        ("TILEID", pa.int32()),
        ("EXPID", pa.int32()),
        ("NIGHT", pa.int32()),
        ("HPXPIXEL", pa.int32()),
        ("PETAL_LOC", pa.int16()),
        ("FIBER", pa.int32()),
        ("SURVEY", pa.string()),
        ("PROGRAM", pa.string()),
        pa.field("FILE", pa.string(), nullable=False),
        pa.field("ROW", pa.int32(), nullable=False),
        ("TARGET_RA", pa.float64()),
        ("TARGET_DEC", pa.float64()),
        ("OBJTYPE", pa.string()),
        ("COADD_FIBERSTATUS", pa.int32()),
        ("DESI_TARGET", pa.int64()),
        ("FLUX_G", pa.float32()),
        ("FLUX_R", pa.float32()),
        ("FLUX_Z", pa.float32()),
        ("SNR_B", pa.float32()),
        ("SNR_R", pa.float32()),
        ("SNR_Z", pa.float32()),
        pa.field("CAMERAS", pa.int8(), nullable=False),
        pa.field("STATUS", pa.string(), nullable=False),
    ]
)
# What a file of one exposure, tile or pixel may say once for all its rows.
_WHOLE_FILE = ("TILEID", "EXPID", "NIGHT", "HPXPIXEL", "PETAL_LOC", "SURVEY", "PROGRAM")
_HEADER_NAME = {"PETAL_LOC": "PETAL"}
# Before the main survey, targeting bits were in columns of their own beside an empty DESI_TARGET.
_TARGETING = ("DESI_TARGET", "SV3_DESI_TARGET", "SV2_DESI_TARGET", "SV1_DESI_TARGET", "CMX_TARGET")
# Computed from the spectra or the place of the file, never copied.
_OWN = ("FILE", "ROW", "SNR_B", "SNR_R", "SNR_Z", "CAMERAS", "STATUS")

Columns = dict[str, NDArray | pd.Series]


def read_target_columns(fits: FitsFile, file: SpectraFile) -> tuple[NDArray[np.int64], Columns]:
    """TARGETIDs of FIBERMAP's rows, and whatever else is known of them.

    Each column comes from FIBERMAP, else EXP_FIBERMAP, else a header, else the path.

    Args:
        fits: the opened coadd file.
        file: its path and name.

    Returns:
        targetid: shape [rows].
        columns: those of :data:`TARGET_COLUMNS` that are known, null where a row's value is not.

    Raises:
        InputError: there is no FIBERMAP, or it has no rows or no usable TARGETID.
    """
    path = file.path
    if not fits.is_table("FIBERMAP"):
        raise InputError(f"{path}: it has no FIBERMAP table, so its spectra have no TARGETID.")
    copied = [n for n in TARGET_COLUMNS.names if n not in _OWN]
    fibermap = fits.table("FIBERMAP", [*copied, *_TARGETING[1:]])
    if "TARGETID" not in fibermap:
        raise InputError(f"{path}: its FIBERMAP has no TARGETID column.")
    targetid = integers(fibermap.pop("TARGETID"), "TARGETID", path)
    if not len(targetid):
        raise InputError(f"{path}: its FIBERMAP has no rows.")
    columns: Columns = {n: fibermap[n] for n in copied if n in fibermap}
    columns |= _targeting(fibermap)
    _fill(columns, fits, targetid, file)
    return targetid, columns


def _targeting(fibermap: dict[str, NDArray]) -> Columns:
    """The targeting bits of the survey that the file is of."""
    there = [fibermap[name] for name in _TARGETING if name in fibermap]
    chosen = next((bits for bits in there if np.any(bits != 0)), there[0] if there else None)
    return {} if chosen is None else {"DESI_TARGET": chosen}


def _fill(columns: Columns, fits: FitsFile, targetid: NDArray[np.int64], file: SpectraFile) -> None:
    missing = [name for name in (*_WHOLE_FILE, "FIBER") if name not in columns]
    several: NDArray = np.zeros(len(targetid), bool)
    if fits.is_table("EXP_FIBERMAP"):
        exposures = fits.table("EXP_FIBERMAP", ["TARGETID", *missing])
        if "TARGETID" in exposures:
            key = integers(exposures.pop("TARGETID"), "TARGETID", file.path)
            for name, values in exposures.items():
                columns[name], ambiguous = _of_exposures(key, values, targetid)
                if name == "EXPID":
                    several = ambiguous
    headers = [fits.header("FIBERMAP"), fits.header(0)]
    from_path = file.name_fields()
    for name in missing:
        names = (name, _HEADER_NAME.get(name))
        said = [h[n] for h in headers for n in names if n and n in h]
        value = said[0] if said else from_path.get(name)
        if value is None:
            continue
        before = columns.get(name)
        if before is None:
            columns[name] = np.full(len(targetid), value)
            continue
        # A header that names an exposure is wrong for a target that has several.
        unknown = pd.isna(before) & np.logical_not(several if name == "EXPID" else False)
        if np.any(unknown):
            columns[name] = np.where(unknown, value, np.asarray(before, object))


def _of_exposures(
    key: NDArray[np.int64], values: NDArray, targetid: NDArray[np.int64]
) -> tuple[NDArray | pd.Series, NDArray[np.bool_]]:
    """The value of each target on which all its exposures agree, and which have several."""
    if values.ndim != 1:
        return pd.Series([None] * len(targetid), dtype=object), np.zeros(len(targetid), bool)
    if np.array_equal(key, targetid) and len(np.unique(key)) == len(key):
        return values, np.zeros(len(targetid), bool)  # one exposure each, in the same order
    pairs = pd.DataFrame({"key": key, "value": values}).drop_duplicates()
    repeated = pairs["key"].duplicated(keep=False)
    said = pd.Series(
        pairs.loc[~repeated, "value"].to_numpy(object), index=pairs.loc[~repeated, "key"]
    )
    ambiguous = np.isin(targetid, pairs.loc[repeated, "key"])
    return said.reindex(targetid).reset_index(drop=True), ambiguous


def target_table(columns: Columns, rows: int, path: Path) -> pa.Table:
    """Columns as a table of the schema :data:`TARGET_COLUMNS`; what is absent is null.

    Raises:
        InputError: a column holds something else than its type.
    """
    arrays = []
    for field in TARGET_COLUMNS:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
            continue
        try:
            arrays.append(_arrow(values, field.type))
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise InputError(
                f"{path}: column {field.name} does not hold {field.type} ({error})."
            ) from error
    return pa.table(arrays, schema=TARGET_COLUMNS)


def _arrow(values: NDArray | pd.Series, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pd.Series):
        values = values.to_numpy()
    if values.dtype == object:
        objects = [v.decode() if isinstance(v, bytes) else v for v in values.tolist()]
        return pa.array(objects, from_pandas=True).cast(kind)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind == "U":
        values = np.char.strip(values)
        return pa.array([str(v) or None for v in values], pa.string()).cast(kind)
    return pa.array(values, from_pandas=True).cast(kind)
