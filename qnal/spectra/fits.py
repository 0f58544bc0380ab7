"""FITS files: whatever is wrong with one is an error that names it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import fitsio
import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError

_PLAIN = {-32: ">f4", -64: ">f8", 32: ">i4"}
_CFITSIO_SYNTAX = set("()[]{}+;!,@%$~|*? ")
_GZIP = b"\x1f\x8b"


class FitsFile:
    """A FITS file opened for reading; get one from :func:`opened`."""

    def __init__(self, path: Path, hdus: fitsio.FITS, raw: BinaryIO) -> None:
        self.path = path
        self.hdus = hdus
        self.raw = raw
        self.zipped = raw.read(2) == _GZIP
        self.size = raw.seek(0, 2)

    def __contains__(self, name: str | int) -> bool:
        return name in self.hdus

    def header(self, name: str | int) -> Any:
        """Header of an HDU, by name or number; keys are looked up as in a dictionary."""
        return self.hdus[name].read_header()

    def is_table(self, name: str | int) -> bool:
        """Whether there is such an HDU and it is a table."""
        return name in self.hdus and self.hdus[name].get_exttype() != "IMAGE_HDU"

    def image(self, name: str | int) -> "Image":
        """An image HDU, of which nothing has been read yet.

        Raises:
            InputError: the HDU is absent, no image or empty, or the file breaks off inside it.
        """
        return Image(self, name)

    def columns(self, name: str | int) -> list[str]:
        """Names of the columns of a table HDU."""
        if not self.is_table(name):
            raise InputError(f"{self.path}: it has no table {name}.")
        names: list[str] = self.hdus[name].get_colnames()
        return names

    def table(
        self, name: str | int, wanted: Sequence[str] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Columns of a table HDU in the byte order of this machine.

        Args:
            name: name or number of the HDU.
            wanted: names of columns; those that are absent are left out. All if None.

        Raises:
            InputError: the HDU is absent or no table.
        """
        present = self.columns(name)
        chosen = present if wanted is None else [c for c in wanted if c in present]
        hdu = self.hdus[name]
        if not chosen:
            return {}
        # cfitsio cannot read the columns of a table without rows.
        empty = not hdu.get_nrows()
        data = np.zeros(0, hdu.get_rec_dtype()[0]) if empty else hdu.read(columns=chosen)
        return {c: _native(np.ascontiguousarray(data[c])) for c in chosen}


class Image:
    """The array of an image HDU, of which rows are read when they are asked for.

    Plain files are read directly: cfitsio takes twice the time, and an array of the whole HDU
    costs more in fresh memory than in reading.

    Attributes:
        shape: as in numpy, last axis fastest.
    """

    def __init__(self, file: FitsFile, name: str | int) -> None:
        path = file.path
        if name not in file.hdus:
            raise InputError(f"{path}: it has no HDU {name}.")
        hdu = file.hdus[name]
        if hdu.get_exttype() != "IMAGE_HDU":
            raise InputError(f"{path}: HDU {name} is a table; an image is expected.")
        info = hdu.get_info()
        self.shape: tuple[int, ...] = tuple(info["dims"]) if info["ndims"] else ()
        if not self.shape or 0 in self.shape:
            raise InputError(f"{path}: HDU {name} has no data.")
        self._file, self._hdu, self._name = file, hdu, name
        self._start: int = info["data_start"]
        # Equal types mean that there is no BSCALE or BZERO to apply.
        direct = info["img_type"] == info["img_equiv_type"] and info["img_type"] in _PLAIN
        self._dtype: np.dtype | None = None
        if file.zipped or hdu.is_compressed():
            direct = False
        else:
            # No memory is asked for more numbers than the file can hold.
            bytes_each = abs(info["img_type"]) // 8 if info["img_type"] in _PLAIN else 1
            if self._start + bytes_each * int(np.prod(self.shape, dtype=object)) > file.size:
                raise InputError(f"{path}: the file breaks off in HDU {name}.")
        if direct:
            self._dtype = np.dtype(_PLAIN[info["img_type"]])
        self._whole: NDArray[Any] | None = None
        self._buffer = bytearray()

    def rows(self, first: int, last: int) -> NDArray[Any]:
        """Rows ``first`` up to, not including, ``last``, in the byte order of this machine."""
        if self._dtype is None:
            if self._whole is None:
                self._whole = _native(self._hdu.read())
            return self._whole[first:last]
        shape = (min(last, self.shape[0]) - first, *self.shape[1:])
        each = self._dtype.itemsize * int(np.prod(shape[1:]))
        size = each * shape[0]
        if len(self._buffer) < size:  # one for all blocks: fresh memory costs more than reading
            self._buffer = bytearray(size)
        content = memoryview(self._buffer)[:size]
        start = self._start + first * each
        if os.preadv(self._file.raw.fileno(), [content], start) != size:
            raise InputError(f"{self._file.path}: the file breaks off in HDU {self._name}.")
        # A copy, four times as fast as a byteswap in place.
        return (
            np.frombuffer(content, self._dtype).astype(self._dtype.newbyteorder("=")).reshape(shape)
        )

    def read(self) -> NDArray[Any]:
        """The whole array, in the byte order of this machine."""
        return self.rows(0, self.shape[0])


@contextmanager
def opened(path: Path) -> Iterator[FitsFile]:
    """A FITS file for reading; whatever goes wrong inside becomes an :class:`InputError`."""
    try:
        with (
            path.open("rb", buffering=0) as raw,
            plain_path(path) as plain,
            fitsio.FITS(str(plain)) as hdus,
        ):
            file = FitsFile(path, hdus, raw)
            last = len(hdus) - 1
            # Of what is read every block is checked; this sees that a file breaks off behind it.
            if not file.zipped and hdus[last].get_info()["data_end"] > file.size:
                raise InputError(f"{path}: the file breaks off in HDU {last}.")
            yield file
    except InputError:
        raise
    except Exception as error:
        # cfitsio reports a whole stack of messages; its first line says what happened.
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if not path.exists():
            reason = "there is no such file"
        raise InputError(f"{path}: not a readable FITS file of spectra ({reason}).") from error


@contextmanager
def plain_path(path: Path) -> Iterator[Path]:
    """The same file by a path without brackets, which cfitsio would take for its own syntax.

    The file itself need not exist; the folder must.
    """
    if not _CFITSIO_SYNTAX & set(str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="qnal-") as folder:
        if path.exists():
            (link := Path(folder, "file.fits")).symlink_to(path.absolute())
            yield link
        else:
            (below := Path(folder, "folder")).symlink_to(path.parent.absolute())
            yield below / path.name


def integers(values: NDArray[Any], name: str, path: Path) -> NDArray[np.int64]:
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


def _native(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))
