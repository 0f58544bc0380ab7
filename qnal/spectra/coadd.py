"""DESI coadd files: the objects of one file, ready for a network (FORMATS.md section 2)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import Rebinner
from qnal.spectra.tree import SpectraFile

CAMERAS = ("B", "R", "Z")

# Identity and target columns of the scores table (FORMATS.md section 11), in its order.
IDENTITY = pa.schema(
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
# Columns that a coadd of one exposure, tile or pixel holds once for all its rows.
_WHOLE_FILE = ("TILEID", "EXPID", "NIGHT", "HPXPIXEL", "PETAL_LOC", "SURVEY", "PROGRAM")
_HEADER_NAME = {"PETAL_LOC": "PETAL"}


@dataclass(frozen=True)
class Coadd:
    """The objects of one coadd file.

    Attributes:
        x: renormalised spectra on the grid, shape [rows, npix]; zero where STATUS is not ``ok``.
        table: the columns of :data:`IDENTITY`, one row an object, in the order of FIBERMAP.
        digest: SHA-256 of the spectra and TARGETIDs, which tells whether a file has changed.
    """

    x: NDArray[np.float64]
    table: pa.Table
    digest: str


@contextmanager
def opened(path: Path) -> Iterator[fitsio.FITS]:
    """A FITS file for reading; whatever goes wrong inside becomes an :class:`InputError`."""
    try:
        with fitsio.FITS(str(path)) as fits:
            yield fits
    except InputError:
        raise
    except Exception as error:
        # cfitsio reports a whole stack of messages; its first line says what happened.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if not path.exists():
            reason = "there is no such file"
        raise InputError(f"{path}: not a readable FITS file of spectra ({reason}).") from error


def read_coadd(file: SpectraFile, grid: Grid, use_mask: bool = True) -> Coadd:
    """Read one coadd file, gzipped or not; every FIBERMAP row gives one row.

    Args:
        file: the file and its name in the tree.
        grid: the grid to rebin to.
        use_mask: ignore pixels whose ``X_MASK`` is not 0 (the reference does not look at it).

    Raises:
        InputError: the file is broken or lacks FIBERMAP or a camera, or lengths disagree.
    """
    path = file.path
    with opened(path) as fits:
        if "FIBERMAP" not in fits:
            raise InputError(f"{path}: it has no FIBERMAP table, so its spectra have no TARGETID.")
        columns, targetid = _fibermap(fits, path)
        rows = len(targetid)
        rebinner = Rebinner(rows, grid)
        cameras = np.zeros(rows, np.int8)
        for bit, camera in enumerate(CAMERAS):
            flux, ivar, wave, mask = _camera(fits, camera, rows, path)
            alive = rebinner.add(flux, ivar, wave, mask if use_mask else None)
            cameras |= (alive << bit).astype(np.int8)
            columns[f"SNR_{camera}"] = _median_snr(flux, ivar, alive)
        _fill_identity(columns, fits, targetid, file)
    x, status = rebinner.renormalised()
    columns |= {
        "TARGETID": targetid,
        "FILE": np.full(rows, file.name),
        "ROW": np.arange(rows, dtype=np.int32),
        "CAMERAS": cameras,
        "STATUS": status,
    }
    # Hashed is what the answer is made of, before rounding errors of another machine come in.
    digest = hashlib.sha256(targetid.tobytes())
    digest.update(rebinner.weighted.tobytes())
    digest.update(rebinner.ivar.tobytes())
    return Coadd(x, _table(columns, rows, path), digest.hexdigest())


def _camera(fits: fitsio.FITS, camera: str, rows: int, path: Path) -> tuple[NDArray, ...]:
    names = [f"{camera}_{what}" for what in ("FLUX", "IVAR", "WAVELENGTH")]
    for name in names:
        if name not in fits:
            raise InputError(f"{path}: it has no {name}; a coadd has cameras {', '.join(CAMERAS)}.")
    flux, ivar, wave = (fits[name].read() for name in names)
    mask = fits[f"{camera}_MASK"].read() if f"{camera}_MASK" in fits else np.zeros_like(flux, int)
    for name, array in zip((*names[:2], f"{camera}_MASK"), (flux, ivar, mask), strict=True):
        if array is None or array.shape != (rows, len(wave)):
            shape = None if array is None else array.shape
            raise InputError(f"{path}: {name} has shape {shape}, not {(rows, len(wave))}, the rows "
                             f"of FIBERMAP by the pixels of {names[2]}.")  # fmt: skip
    if wave.ndim != 1 or not (np.all(np.isfinite(wave)) and np.all(np.diff(wave) > 0)):
        raise InputError(f"{path}: {names[2]} is not a list of increasing wavelengths.")
    return flux, ivar, wave, mask


def _fibermap(fits: fitsio.FITS, path: Path) -> tuple[dict[str, NDArray | None], NDArray]:
    present = fits["FIBERMAP"].get_colnames()
    if "TARGETID" not in present:
        raise InputError(f"{path}: its FIBERMAP has no TARGETID column.")
    wanted = [name for name in IDENTITY.names if name in present]
    data = fits["FIBERMAP"].read(columns=wanted)
    if data["TARGETID"].dtype.kind not in "iu" or not len(data):
        what = "no rows" if not len(data) else f"TARGETIDs of type {data['TARGETID'].dtype}"
        raise InputError(f"{path}: its FIBERMAP has {what}; 64-bit integers are expected.")
    columns: dict[str, NDArray | None] = {name: data[name] for name in wanted}
    return columns, data["TARGETID"].astype(np.int64)


def _fill_identity(
    columns: dict[str, NDArray | None], fits: fitsio.FITS, targetid: NDArray, file: SpectraFile
) -> None:
    """Fill what FIBERMAP lacks from EXP_FIBERMAP, headers and the path, in that order."""
    missing = [name for name in (*_WHOLE_FILE, "FIBER") if name not in columns]
    if "EXP_FIBERMAP" in fits:
        names = [n for n in missing if n in fits["EXP_FIBERMAP"].get_colnames()]
        if names:
            rows = fits["EXP_FIBERMAP"].read(columns=["TARGETID", *names])
            for name in names:
                columns[name] = _if_unique(rows["TARGETID"], rows[name], targetid)
    headers = [fits["FIBERMAP"].read_header(), fits[0].read_header()]
    from_path = file.identity()
    for name in missing:
        if columns.get(name) is not None:
            continue
        values = [h[k] for h in headers for k in (name, _HEADER_NAME.get(name)) if k and k in h]
        value = values[0] if values else from_path.get(name)
        columns[name] = None if value is None else np.full(len(targetid), value)


def _if_unique(key: NDArray, values: NDArray, targetid: NDArray) -> NDArray | None:
    """The value of each target where all its exposures agree; None unless that holds for all."""
    pairs = np.zeros(len(key), [("key", np.int64), ("value", values.dtype)])
    pairs["key"], pairs["value"] = key, values
    pairs = np.unique(pairs)
    if len(np.unique(pairs["key"])) != len(pairs) or not np.isin(targetid, pairs["key"]).all():
        return None
    return pairs["value"][np.searchsorted(pairs["key"], targetid)]


def _median_snr(flux: NDArray, ivar: NDArray, alive: NDArray) -> NDArray:
    """Median flux·√ivar over all pixels of a camera; NaN where the camera is dead."""
    with np.errstate(invalid="ignore"):
        snr = np.median(flux * np.sqrt(np.maximum(ivar, 0)), axis=1)
    return np.where(alive, snr, np.nan).astype(np.float32)


def _table(columns: dict[str, NDArray | None], rows: int, path: Path) -> pa.Table:
    arrays = []
    for field in IDENTITY:
        values = columns.get(field.name)
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
            continue
        try:
            if values.dtype.kind in "SU":
                values = np.char.strip(values.astype(str))
            native = values.astype(values.dtype.newbyteorder("="))
            arrays.append(pa.array(native, from_pandas=True).cast(field.type))
        except (pa.ArrowException, ValueError) as error:
            raise InputError(f"{path}: column {field.name} does not hold {field.type} "
                             f"({error}).") from error  # fmt: skip
    return pa.table(arrays, schema=IDENTITY)
