"""The contract of a reader: how files of spectra are found and read, whatever their format.

A reader says which files hold spectra (:meth:`Reader.find`) and what an open file holds
(:meth:`Reader.open`): the objects' columns and the pixels of each arm. Rebinning, signal-to-noise,
status and digest follow from these in the same way for every survey (:meth:`Reader.read`).
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import BLOCK, Binning, Rebinner
from qnal.spectra.signal_to_noise import median_snr
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.target_table import MOST_ARMS, Columns, target_table

# Rows read at once: a DESI petal's 500 in one go, and bounded memory for files with many rows.
CHUNK = 16 * BLOCK


class Arm(ABC):
    """The pixels of one arm (camera, channel) of a spectrograph, in one open file.

    Attributes:
        name: letters, digits and underscores, such as ``B``; names the column ``SNR_B``.
        wave: wavelengths of the pixels, shape [n], Å in vacuum, increasing.
    """

    name: str
    wave: NDArray[np.float64]

    @abstractmethod
    def rows(self, first: int, last: int) -> tuple[NDArray, NDArray, NDArray | None]:
        """Flux, ivar and mask of the rows from ``first`` up to, not including, ``last``.

        Returns:
            Flux (1e-17 erg/s/cm²/Å) and its inverse variance, floats of shape [last − first, n].
            Pixels with ivar 0 have no data. The mask, of the same shape, is not 0 where a pixel is
            to be ignored; None if there is none.
        """


class ArrayArm(Arm):
    """An arm whose pixels are in memory.

    Args:
        name, wave: see :class:`Arm`.
        flux, ivar: shape [rows, n].
    """

    def __init__(self, name: str, wave: NDArray[np.floating], flux: NDArray, ivar: NDArray) -> None:
        self.name, self.wave = name, np.asarray(wave, np.float64)
        self._flux, self._ivar = flux, ivar

    def rows(self, first: int, last: int) -> tuple[NDArray, NDArray, NDArray | None]:
        """See :meth:`Arm.rows`."""
        return self._flux[first:last], self._ivar[first:last], None


@dataclass(frozen=True)
class OpenSpectra:
    """What an open file holds.

    Attributes:
        columns: values by name of :data:`~qnal.spectra.target_table.TARGET_COLUMNS`, each of shape
            [rows]; TARGETID (64-bit integers) is needed, columns that are left out are null.
        arms: the reader's arms, in their order.
        targeting: name of the column that DESI_TARGET was taken from.
    """

    columns: Columns
    arms: Sequence[Arm]
    targeting: str = "DESI_TARGET"

    @property
    def targetid(self) -> NDArray[np.int64]:
        """TARGETIDs, shape [rows]."""
        return np.asarray(self.columns["TARGETID"])


@dataclass(frozen=True)
class Spectra:
    """The spectra of one file.

    Attributes:
        x: renormalised spectra on the grid, shape [rows, npix]; zero where STATUS is not ``ok``.
        table: the target table, one row per spectrum of the file and in its order.
        digest: SHA-256 of the TARGETIDs and of the rebinned flux and ivar.
        rebinned: flux and its inverse variance on the grid, shape [rows, 2, npix].
        targeting: name of the column that DESI_TARGET was taken from.
    """

    x: NDArray[np.float64]
    table: pa.Table
    digest: str
    rebinned: NDArray[np.float32]
    targeting: str = "DESI_TARGET"


class Reader(ABC):
    """Finds and reads the files of one survey or format.

    A subclass is a frozen dataclass whose fields are its settings. It is sent to worker processes,
    so it must be possible to pickle it. See docs/extending.md.

    Attributes:
        arms: names of the arms; bit k of CAMERAS stands for arm k, and there is a column SNR_ARM
            for each.
        named: whether objects have names, which are in the column OBJECT.
        bits: numbers of the bits of targeting columns, by column and name.
    """

    arms: tuple[str, ...]
    named: bool = False
    bits: Mapping[str, Mapping[str, int]] = {}

    @abstractmethod
    def find(self, paths: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
        """The files of spectra at the given paths, sorted by name.

        Args:
            paths: a path, a glob pattern, or a list of them; a folder is searched at any depth.
            key: what ``paths`` are called in messages, such as ``data.pool``.

        Raises:
            InputError: nothing was given, or nothing was found.
        """

    @abstractmethod
    def open(self, file: SpectraFile) -> AbstractContextManager[OpenSpectra]:
        """Open a file, for the time of a ``with`` block.

        Raises:
            InputError: the file is damaged, or not of this format; the sentence names it.
        """

    def key(self) -> dict[str, Any]:
        """What results that depend on the reader are named by, as JSON takes it."""
        names: Iterable[str] = getattr(self, "__dataclass_fields__", ())
        settings = {name: getattr(self, name) for name in names}
        cls = type(self)
        return {"reader": {"class": f"{cls.__module__}.{cls.__qualname__}", **settings}}

    @property
    def is_default(self) -> bool:
        """Whether results need not say which reader made them, because it is the usual one."""
        return not self.key().keys() - {"use_mask"}

    def metadata(self) -> dict[str, Any]:
        """What the metadata of scores says about the reader, as JSON takes it."""
        return {"arms": list(self.arms)}

    def check(self) -> None:
        """Check the reader itself, before any work.

        Raises:
            ConfigError: its arms cannot be columns and bits of CAMERAS.
        """
        valid = all(re.fullmatch(r"\w+", arm) for arm in self.arms)
        if not (valid and 1 <= len(set(self.arms)) == len(self.arms) <= MOST_ARMS):
            raise ConfigError(
                f"the reader {type(self).__name__} has the arms {list(self.arms)}; it takes from 1 "
                f"to {MOST_ARMS} different names of letters, digits and underscores."
            )

    def read(self, file: SpectraFile, grid: Grid) -> Spectra:
        """Rebinned spectra and the target table of a file.

        Raises:
            InputError: as for :meth:`open`, or a column does not hold its type.
        """
        with self.open(file) as opened:
            columns, rows = dict(opened.columns), len(opened.targetid)
            targetid = np.ascontiguousarray(opened.targetid, np.int64)
            self._check_arms(opened.arms, file.path)
            _check_wavelengths(opened.arms, grid, file.path)
            rebinner = Rebinner(rows, grid)
            bits = np.zeros(rows, np.int8)
            for bit, arm in enumerate(opened.arms):
                has_data, columns[f"SNR_{arm.name}"] = _add_arm(rebinner, arm, rows, file.path)
                bits |= (has_data << bit).astype(np.int8)
        x, status = rebinner.renormalised()
        columns |= {
            "TARGETID": targetid,
            "FILE": np.full(rows, file.name),
            "ROW": np.arange(rows, dtype=np.int32),
            "CAMERAS": bits,
            "STATUS": status,
        }
        # The sums before renormalisation, whose rounding depends on the processor.
        digest = hashlib.sha256(targetid.data)
        digest.update(rebinner.weighted.data)
        digest.update(rebinner.ivar.data)
        digest.update(rebinner.non_finite.data)
        table = target_table(columns, rows, file.path, self.arms, self.named)
        return Spectra(x, table, digest.hexdigest(), rebinner.rebinned(), opened.targeting)

    def pixels(
        self, file: SpectraFile, rows: Sequence[int], targetids: Sequence[int]
    ) -> Iterator[list[tuple[Arm, NDArray, NDArray]]]:
        """Native pixels of some rows: per row, each arm with its flux and its ivar, shape [n].

        Pixels to be ignored have ivar 0.

        Raises:
            InputError: as for :meth:`open`, or a row is not that of the TARGETID.
        """
        with self.open(file) as opened:
            found = opened.targetid
            self._check_arms(opened.arms, file.path)
            for row, targetid in zip(rows, targetids, strict=True):
                if not 0 <= row < len(found) or found[row] != targetid:
                    raise InputError(
                        f"{file.path}: row {row} is not target {targetid}; the file has changed "
                        "since it was scored, so run stage=infer and stage=query again."
                    )
                yield [(arm, *_pixels(arm, row)) for arm in opened.arms]

    def _check_arms(self, arms: Sequence[Arm], path: Path) -> None:
        if (names := tuple(arm.name for arm in arms)) != self.arms:
            raise InputError(
                f"{path}: it has the arms {', '.join(names) or 'none'}, but the reader "
                f"{type(self).__name__} declares {', '.join(self.arms)}."
            )


def _check_wavelengths(arms: Sequence[Arm], grid: Grid, path: Path) -> None:
    """Refuse spectra that have nothing in common with the grid, usually for a wrong unit."""
    if any(len(Binning.of(arm.wave, grid).starts) for arm in arms):
        return
    low, high = min(arm.wave[0] for arm in arms), max(arm.wave[-1] for arm in arms)
    raise InputError(
        f"{path}: its wavelengths, from {low:.6g} to {high:.6g} Å, are not on the "
        f"{grid.name} grid, which begins at {grid.wave[0]:.0f} and ends at {grid.wave[-1]:.0f} Å; "
        "check their unit."
    )


def _add_arm(
    rebinner: Rebinner, arm: Arm, rows: int, path: Path
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Add all spectra of an arm; returns which have any data in it, and their median SNR."""
    has_data, snr = np.zeros(rows, bool), np.zeros(rows, np.float32)
    binning = Binning.of(arm.wave, rebinner.grid)
    for first in range(0, rows, CHUNK):
        last = min(first + CHUNK, rows)
        flux, ivar, mask = arm.rows(first, last)
        shape = last - first, len(arm.wave)
        for name, values in (("flux", flux), ("ivar", ivar), ("mask", mask)):
            if values is not None and values.shape != shape:
                raise InputError(
                    f"{path}: {name} of arm {arm.name} has shape {values.shape} instead of "
                    f"{shape}, one row per TARGETID and one value per wavelength."
                )
        # In blocks whose intermediate arrays fit the processor's cache.
        for start in range(0, len(flux), BLOCK):
            block, target = slice(start, start + BLOCK), slice(first + start, first + start + BLOCK)
            block_mask = None if mask is None else mask[block]
            has_data[target] = rebinner.add(
                flux[block], ivar[block], binning, block_mask, first + start
            )
            snr[target] = median_snr(flux[block], ivar[block], has_data[target])
    return has_data, snr


def _pixels(arm: Arm, row: int) -> tuple[NDArray, NDArray]:
    flux, ivar, mask = arm.rows(row, row + 1)
    good = (ivar[0] > 0) & np.isfinite(ivar[0]) & np.isfinite(flux[0])
    if mask is not None:
        good &= mask[0] == 0
    return flux[0], np.where(good, ivar[0], 0)
