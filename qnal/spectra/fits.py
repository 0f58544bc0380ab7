"""FITS files: opened so that whatever is wrong with one is an error with its name."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fitsio
import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError

_PLAIN = {-32: ">f4", -64: ">f8", 32: ">i4"}


@contextmanager
def opened(path: Path) -> Iterator[fitsio.FITS]:
    """A FITS file for reading; whatever goes wrong inside becomes an :class:`InputError`."""
    try:
        _check_whole(path)
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


def _check_whole(path: Path) -> None:
    """Refuse a gzipped file that breaks off, of which cfitsio would read zeros."""
    with path.open("rb") as raw:
        if raw.read(2) != b"\x1f\x8b":
            return
    try:
        with gzip.open(path) as unzipped:
            while unzipped.read(1 << 22):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: the gzipped file breaks off or is damaged ({error}).") from error


def image(fits: fitsio.FITS, name: str | int, path: Path) -> NDArray:
    """The array of an image HDU in the byte order of this machine.

    Args:
        fits: the opened file.
        name: name or number of the HDU.
        path: its path, for error sentences and to read plain files directly, which takes half the
            time that cfitsio needs for it.

    Raises:
        InputError: the HDU is no image or has no data, or the file breaks off inside it.
    """
    hdu = fits[name]
    if hdu.get_exttype() != "IMAGE_HDU":
        raise InputError(f"{path}: HDU {name} is a table; an image is expected.")
    info = hdu.get_info()
    shape = tuple(info["dims"]) if info["ndims"] else ()
    if not shape or 0 in shape:
        raise InputError(f"{path}: HDU {name} has no data.")
    # No array is made for more numbers than the file can hold.
    if not hdu.is_compressed() and not _is_gzipped(path):
        dtype = np.dtype(_PLAIN.get(info["img_type"], "u1"))
        count = int(np.prod(shape, dtype=object))
        if info["data_start"] + count * dtype.itemsize > path.stat().st_size:
            raise InputError(f"{path}: the file breaks off in HDU {name}.")
        # Equal types mean that there is no BSCALE or BZERO to apply.
        if info["img_type"] == info["img_equiv_type"] and info["img_type"] in _PLAIN:
            array = np.fromfile(path, dtype, count, offset=info["data_start"])
            if len(array) < count:
                raise InputError(f"{path}: the file breaks off in HDU {name}.")
            return _native(array).reshape(shape)
    return _native(hdu.read())


def table(
    fits: fitsio.FITS, name: str | int, path: Path, wanted: list[str] | None = None
) -> dict[str, NDArray]:
    """Columns of a table HDU in the byte order of this machine.

    Args:
        fits: the opened file.
        name: name or number of the HDU.
        path: its path, for error sentences.
        wanted: names of columns; those that are absent are left out. All if None.

    Raises:
        InputError: the HDU is no table.
    """
    hdu = fits[name]
    if hdu.get_exttype() == "IMAGE_HDU":
        raise InputError(f"{path}: HDU {name} is an image; a table is expected.")
    present = hdu.get_colnames()
    columns = present if wanted is None else [c for c in wanted if c in present]
    if not columns:
        return {}
    if not hdu.get_nrows():
        return {c: np.zeros(0, hdu.get_rec_dtype()[0][c].newbyteorder("=")) for c in columns}
    data = hdu.read(columns=columns)
    return {c: _native(np.ascontiguousarray(data[c])) for c in columns}


def _native(array: NDArray) -> NDArray:
    if array.dtype.isnative:
        return array
    return array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))


def _is_gzipped(path: Path) -> bool:
    with path.open("rb") as raw:
        return raw.read(2) == b"\x1f\x8b"


def integers(values: NDArray, name: str, path: Path) -> NDArray[np.int64]:
    """A column of identifiers as 64-bit integers, which no float has passed through.

    Raises:
        InputError: the column holds something else than one integer a row.
    """
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(
            f"{path}: its column {name} has type {values.dtype} and shape {values.shape}; one "
            "64-bit integer a row is expected."
        )
    if values.dtype.kind == "u" and (values > np.iinfo(np.int64).max).any():
        raise InputError(f"{path}: its column {name} has numbers beyond 64-bit integers.")
    return values.astype(np.int64)
