"""Columns and arrays of Parquet and HDF5 files, read by rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qnal.errors import InputError


class ArrayFile(ABC):
    """An open file with one value, or one array of always the same length, per row."""

    path: Path

    @abstractmethod
    def names(self) -> list[str]:
        """Names of the columns or datasets."""

    @abstractmethod
    def column(self, name: str) -> NDArray[Any]:
        """One value per row, shape [rows]."""

    @abstractmethod
    def rows(self, name: str, first: int, last: int) -> NDArray[Any]:
        """Arrays of the rows from ``first`` up to, not including, ``last``, shape [rows, n]."""

    @abstractmethod
    def length(self, name: str) -> int:
        """Number of rows of a column or dataset."""

    @abstractmethod
    def pixels(self, name: str) -> int:
        """Length of the array in a row."""

    @abstractmethod
    def common(self, name: str) -> NDArray[Any]:
        """The array that all rows share, shape [n].

        Raises:
            InputError: rows differ.
        """

    def _check(self, name: str) -> None:
        if name not in self.names():
            raise InputError(
                f"{self.path}: it has no {name}; it has {', '.join(self.names()) or 'nothing'}."
            )

    def _differ(self, name: str) -> InputError:
        return InputError(
            f"{self.path}: {name} differs between rows; all rows of a file must have the same."
        )


@contextmanager
def open_arrays(path: Path) -> Iterator[ArrayFile]:
    """Open a Parquet or HDF5 file for the time of a ``with`` block.

    Raises:
        InputError: it cannot be opened, or anything in the block fails.
    """
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as parquet:
                yield _Parquet(path, parquet)
        else:
            with h5py.File(path) as hdf5:
                yield _Hdf5(path, hdf5)
    except InputError:
        raise
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise InputError(f"{path}: not a readable table of spectra ({reason}).") from error


class _Parquet(ArrayFile):
    def __init__(self, path: Path, parquet: pq.ParquetFile) -> None:
        self.path, self._file = path, parquet
        groups = [parquet.metadata.row_group(k).num_rows for k in range(parquet.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups)])
        self._held: dict[str, tuple[int, NDArray[Any]]] = {}  # the row group read last

    def names(self) -> list[str]:
        return list(self._file.schema_arrow.names)

    def column(self, name: str) -> NDArray[Any]:
        self._check(name)
        values = self._file.read(columns=[name]).column(0).combine_chunks()
        if values.null_count or not pa.types.is_integer(values.type):
            return np.asarray(values.to_pandas())
        return np.asarray(values.to_numpy())  # exactly, not through floats

    def rows(self, name: str, first: int, last: int) -> NDArray[Any]:
        self._check(name)
        parts = []
        for group in range(len(self._starts) - 1):
            low, high = self._starts[group], self._starts[group + 1]
            if low < last and first < high:
                array = self._group(name, group)
                parts.append(array[max(first - low, 0) : last - low])
        return np.concatenate(parts) if parts else np.zeros((0, self.pixels(name)))

    def length(self, name: str) -> int:
        self._check(name)
        return int(self._starts[-1])

    def pixels(self, name: str) -> int:
        self._check(name)
        return int(self._group(name, 0).shape[1])

    def common(self, name: str) -> NDArray[Any]:
        self._check(name)
        first = self._group(name, 0)[0]
        for group in range(len(self._starts) - 1):
            if not (self._group(name, group) == first).all():
                raise self._differ(name)
        return first

    def _group(self, name: str, group: int) -> NDArray[Any]:
        held = self._held.get(name)
        if held is not None and held[0] == group:
            return held[1]
        lists = self._file.read_row_group(group, columns=[name]).column(0).combine_chunks()
        if not hasattr(lists, "flatten") or lists.null_count:
            raise InputError(f"{self.path}: {name} does not hold an array in every row.")
        flat = lists.flatten().to_numpy(zero_copy_only=False)
        if not len(lists) or len(flat) % len(lists):
            raise self._lengths(name)
        lengths = np.asarray(lists.value_lengths())
        if (lengths != lengths[0]).any():
            raise self._lengths(name)
        array = flat.reshape(len(lists), -1)
        self._held[name] = group, array
        return array

    def _lengths(self, name: str) -> InputError:
        return InputError(
            f"{self.path}: the arrays in {name} differ in length; all spectra of a file must have "
            "the same pixels."
        )


class _Hdf5(ArrayFile):
    def __init__(self, path: Path, hdf5: h5py.File) -> None:
        self.path, self._file = path, hdf5

    def names(self) -> list[str]:
        found: list[str] = []
        self._file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        return found

    def column(self, name: str) -> NDArray[Any]:
        self._check(name)
        dataset = self._file[name]
        values = dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]
        return np.asarray(values)

    def rows(self, name: str, first: int, last: int) -> NDArray[Any]:
        self._check(name)
        return np.asarray(self._file[name][first:last])

    def length(self, name: str) -> int:
        self._check(name)
        return int((*self._file[name].shape, 0)[0])

    def pixels(self, name: str) -> int:
        self._check(name)
        shape = self._file[name].shape
        if len(shape) != 2:
            raise InputError(f"{self.path}: {name} has shape {shape}; rows by pixels are expected.")
        return int(shape[1])

    def common(self, name: str) -> NDArray[Any]:
        self._check(name)
        values = np.asarray(self._file[name][()])
        if values.ndim == 2:
            if not (values == values[0]).all():
                raise self._differ(name)
            values = values[0]
        return values
