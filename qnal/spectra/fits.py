"""Reading and writing FITS files.

Whatever is wrong with a file is raised as an :class:`InputError` that names it.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.files import written_aside

# Characters that CFITSIO interprets in a file name (extended file name syntax).
_CFITSIO_SYNTAX = set("()[]{}+;!,@%$~|*? ")
_GZIP = b"\x1f\x8b"


class FitsFile:
    """A FITS file opened for reading by :func:`open_fits`.

    Attributes:
        path: the file.
        hdus: the open :class:`fitsio.FITS`.
        size: number of bytes, or None for a gzipped file, whose HDUs lie elsewhere in memory.
    """

    def __init__(self, path: Path, hdus: fitsio.FITS) -> None:
        self.path = path
        self.hdus = hdus
        with path.open("rb") as file:
            gzipped = file.read(2) == _GZIP
        self.size = None if gzipped else path.stat().st_size
        # Each HDU is checked when it is read; this finds a file truncated after the last one read.
        last = len(hdus) - 1
        self._check_end(last, hdus[last].get_info()["data_end"])

    def __contains__(self, name: str | int) -> bool:
        return name in self.hdus

    def header(self, name: str | int) -> Any:
        """Header of an HDU, by name or number; supports ``in`` and item access."""
        return self.hdus[name].read_header()

    def is_table(self, name: str | int) -> bool:
        """Whether the HDU exists and is a table."""
        return name in self.hdus and self.hdus[name].get_exttype() != "IMAGE_HDU"

    def shape(self, name: str | int) -> tuple[int, ...]:
        """Shape of an image HDU in numpy's order (last axis fastest).

        Raises:
            InputError: the HDU is absent, not an image, or empty, or the file ends inside it.
        """
        if name not in self.hdus:
            raise InputError(f"{self.path}: it has no HDU {name}.")
        hdu = self.hdus[name]
        if hdu.get_exttype() != "IMAGE_HDU":
            raise InputError(f"{self.path}: HDU {name} is a table; an image is expected.")
        info = hdu.get_info()
        shape = tuple(info["dims"]) if info["ndims"] else ()
        if not shape or 0 in shape:
            raise InputError(f"{self.path}: HDU {name} has no data.")
        if not hdu.is_compressed():
            # Before memory is allocated: a damaged header may claim any number of pixels.
            size = max(1, abs(info["img_type"]) // 8) * int(np.prod(shape, dtype=object))
            self._check_end(name, info["data_start"] + size)
        return shape

    def image(self, name: str | int, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """An image HDU, or its rows ``first`` up to, not including, ``last``, in native byte order.

        Raises:
            InputError: as for :meth:`shape`.
        """
        shape = self.shape(name)
        hdu = self.hdus[name]
        if len(shape) == 2 and (first > 0 or last is not None):
            return _native(hdu[first : min(last or shape[0], shape[0]), :])
        return _native(hdu.read())[first:last]

    def columns(self, name: str | int) -> list[str]:
        """Names of the columns of a table HDU."""
        if not self.is_table(name):
            raise InputError(f"{self.path}: it has no table {name}.")
        names: list[str] = self.hdus[name].get_colnames()
        return names

    def table(
        self, name: str | int, wanted: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Columns of a table HDU in native byte order.

        Args:
            name: name or number of the HDU.
            wanted: names of columns; those that are absent are left out. None reads all.

        Raises:
            InputError: the HDU is absent or not a table.
        """
        present = self.columns(name)
        chosen = present if wanted is None else [c for c in wanted if c in present]
        hdu = self.hdus[name]
        if not chosen:
            return {}
        # CFITSIO cannot read columns of a table without rows.
        empty = not hdu.get_nrows()
        data = np.zeros(0, hdu.get_rec_dtype()[0]) if empty else hdu.read(columns=chosen)
        return {c: _native(np.ascontiguousarray(data[c])) for c in chosen}

    def _check_end(self, name: str | int, end: int) -> None:
        if self.size is not None and end > self.size:
            raise InputError(f"{self.path}: the file is truncated in HDU {name}.")


@contextmanager
def open_fits(path: Path) -> Iterator[FitsFile]:
    """Open a FITS file, gzipped or not, for reading.

    Raises:
        InputError: the file cannot be opened, or anything in the ``with`` block fails.
    """
    try:
        with _cfitsio_path(path) as safe, fitsio.FITS(str(safe)) as hdus:
            yield FitsFile(path, hdus)
    except InputError:
        raise
    except Exception as error:
        # CFITSIO reports a stack of messages; the first line states the cause.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if not path.exists():
            reason = "there is no such file"
        raise InputError(f"{path}: not a readable FITS file ({reason}).") from error


@contextmanager
def create_fits(path: Path) -> Iterator[fitsio.FITS]:
    """A new FITS file opened for writing, which exists only once the block has succeeded."""
    with (
        written_aside(path) as scratch,
        _cfitsio_path(scratch) as safe,
        fitsio.FITS(str(safe), "rw") as out,
    ):
        yield out


@contextmanager
def _cfitsio_path(path: Path) -> Iterator[Path]:
    """A path to the same file without characters that CFITSIO interprets, by a symbolic link.

    The file need not exist: a file created by this path is created at ``path``.
    """
    if not _CFITSIO_SYNTAX & set(str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="qnal-") as folder:
        link = Path(folder, "file.fits")
        link.symlink_to(path.absolute())
        yield link


def integers(values: NDArray[Any], name: str, path: Path) -> NDArray[np.int64]:
    """A column of identifiers as 64-bit integers; floats, which would round them, are refused.

    Args:
        values: the column.
        name: its name, for the message.
        path: its file, for the message.

    Raises:
        InputError: the column does not hold one integer per row.
    """
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise InputError(
            f"{path}: column {name} has type {values.dtype} and shape {values.shape}; one "
            "64-bit integer per row is expected."
        )
    if values.dtype.kind == "u" and (values > np.iinfo(np.int64).max).any():
        raise InputError(f"{path}: column {name} has numbers beyond the 64-bit signed integers.")
    return values.astype(np.int64)


def _native(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))
