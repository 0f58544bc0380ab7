"""Redrock's results: finding the files that belong to a coadd, and reading them.

Formats (docs/redrock.md): ``redrock-*.fits`` with HDU ``REDSHIFTS``, before 2021 ``zbest-*.fits``
with HDU ``ZBEST``, and ``qso_mgii-*.fits``. Columns are read by name, because their types and order
differ between versions of Redrock, and rows are matched by TARGETID.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, integers, open_fits
from qnal.spectra.spectra_file import SpectraFile

HDUS = ("REDSHIFTS", "ZBEST")
RESULTS, MGII = ("redrock-", "zbest-"), ("qso_mgii-",)
COADD = ("coadd-", "spectra-")
COEFFICIENTS = 10
QSO = "QSO"


@dataclass(frozen=True)
class RedrockFiles:
    """What lies beside one coadd; None where there is none.

    Attributes:
        results: the file of Redrock's redshifts.
        mgii: the file of the Mg II afterburner.
    """

    results: Path | None = None
    mgii: Path | None = None

    def version(self) -> str:
        """Names, sizes and modification times; empty if there are no results."""
        if self.results is None:
            return ""
        stats = ((p, p.stat()) for p in (self.results, self.mgii) if p is not None)
        return "\n".join(f"{p}\t{s.st_size}\t{s.st_mtime_ns}" for p, s in stats)


@dataclass(frozen=True)
class RedrockFinder:
    """Finds Redrock's files by the names of coadds.

    Attributes:
        folder: searched at any depth; None: the folder of each coadd.
    """

    folder: Path | None = None

    def find(self, file: SpectraFile) -> RedrockFiles:
        """The files that belong to a coadd.

        Raises:
            InputError: several files below ``folder`` have the name that is looked for.
        """
        return RedrockFiles(self._first(file, RESULTS), self._first(file, MGII))

    def _first(self, file: SpectraFile, prefixes: Iterable[str]) -> Path | None:
        for name in _names(file.path.name, prefixes):
            found = self._named(file, name)
            if found is not None:
                return found
        return None

    def _named(self, file: SpectraFile, name: str) -> Path | None:
        if self.folder is None:
            parent = str(file.path.parent)
            return file.path.with_name(name) if name in _listed(parent) else None
        found = self._tree.get(name, [])
        mirrored = self.folder / Path(file.name).with_name(name)
        if len(found) > 1 and mirrored not in found:
            raise InputError(
                f"{self.folder}: it holds {len(found)} files called {name}, and none at "
                f"{mirrored}; give the folder of one reduction."
            )
        return mirrored if mirrored in found else found[0] if found else None

    @cached_property
    def _tree(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        prefixes = (*RESULTS, *MGII)
        for where, below, names in os.walk(str(self.folder), followlinks=True):
            below.sort()
            for name in names:
                if name.startswith(prefixes):
                    found.setdefault(name, []).append(Path(where, name))
        return found


@dataclass(frozen=True)
class RedrockResults:
    """Redrock's best fit of each target of a file, in the order of the file.

    Attributes:
        path: the file.
        targetid: shape [n], all different.
        z, zerr: redshift and its error.
        zwarn: warning bits; 0 is fine.
        chi2, deltachi2: χ² of the best fit, and how much worse the next best one is.
        coeff: template coefficients, shape [n, 10], padded with 0.
        spectype: GALAXY, QSO or STAR; ``subtype`` of it.
        is_qso_mgii: of the Mg II afterburner by TARGETID; None where it is unknown.
    """

    path: Path
    targetid: NDArray[np.int64]
    z: NDArray[np.float64]
    zerr: NDArray[np.float64]
    zwarn: NDArray[np.int64]
    chi2: NDArray[np.float64]
    deltachi2: NDArray[np.float64]
    coeff: NDArray[np.float64]
    spectype: NDArray[np.str_]
    subtype: NDArray[np.str_]
    is_qso_mgii: dict[int, bool] | None = None

    def __len__(self) -> int:
        return len(self.targetid)

    def rows_of(self, targetid: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row of each TARGETID, −1 where there is none."""
        order = np.argsort(self.targetid, kind="stable")
        at = np.searchsorted(self.targetid, targetid, sorter=order)
        row = order[np.minimum(at, len(order) - 1)]
        return np.where(self.targetid[row] == targetid, row, -1)


def read_redrock(files: RedrockFiles) -> RedrockResults:
    """Read Redrock's results, and those of the Mg II afterburner where there are any.

    Raises:
        InputError: a file is damaged, lacks a column, or has a TARGETID twice.
    """
    path = files.results
    if path is None:
        raise InputError("there is no file of Redrock's results.")
    with open_fits(path) as fits:
        hdu = next((name for name in HDUS if fits.is_table(name)), None)
        if hdu is None:
            raise InputError(f"{path}: it has no table {' or '.join(HDUS)}.")
        wanted = ("TARGETID", "Z", "ZERR", "ZWARN", "CHI2", "COEFF", "SPECTYPE", "SUBTYPE")
        table = fits.table(hdu, [*wanted, "DELTACHI2"])
        targetid = _targetids(table, fits)
        for name in ("Z", "ZWARN", "SPECTYPE"):
            if name not in table:
                raise InputError(f"{path}: HDU {hdu} has no column {name}.")
    n = len(targetid)
    unknown = np.full(n, np.nan)
    floats = {
        name: np.asarray(table.get(name, unknown), np.float64)
        for name in ("Z", "ZERR", "CHI2", "DELTACHI2")
    }
    coeff = np.zeros((n, COEFFICIENTS))
    given = np.asarray(table.get("COEFF", coeff), np.float64).reshape(n, -1)[:, :COEFFICIENTS]
    coeff[:, : given.shape[1]] = given
    return RedrockResults(
        path,
        targetid,
        floats["Z"],
        floats["ZERR"],
        np.asarray(table["ZWARN"], np.int64),
        floats["CHI2"],
        floats["DELTACHI2"],
        coeff,
        _text(table["SPECTYPE"]),
        _text(table.get("SUBTYPE", np.full(n, ""))),
        None if files.mgii is None else _mgii(files.mgii),
    )


def _mgii(path: Path) -> dict[int, bool]:
    with open_fits(path) as fits:
        hdu: str | int = "MGII" if fits.is_table("MGII") else 1
        table = fits.table(hdu, ["TARGETID", "IS_QSO_MGII"])
        targetid = _targetids(table, fits)
        if "IS_QSO_MGII" not in table:
            raise InputError(f"{path}: it has no column IS_QSO_MGII.")
    return dict(
        zip(targetid.tolist(), np.asarray(table["IS_QSO_MGII"], bool).tolist(), strict=True)
    )


def _targetids(table: dict[str, NDArray[Any]], fits: FitsFile) -> NDArray[np.int64]:
    if "TARGETID" not in table:
        raise InputError(f"{fits.path}: it has no column TARGETID.")
    targetid = integers(table["TARGETID"], "TARGETID", fits.path)
    if not len(targetid):
        raise InputError(f"{fits.path}: it has no rows.")
    repeated = len(targetid) - len(np.unique(targetid))
    if repeated:
        raise InputError(
            f"{fits.path}: {repeated} of its {len(targetid)} rows repeat a TARGETID; it must have "
            "one row per target."
        )
    return targetid


def _text(values: NDArray[Any]) -> NDArray[np.str_]:
    text = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values.astype(str)
    return np.asarray(np.char.strip(text), np.str_)


def _names(coadd: str, prefixes: Iterable[str]) -> list[str]:
    """Names of files that belong to a coadd, uncompressed ones first."""
    plain = coadd.removesuffix(".gz")
    start = next((prefix for prefix in COADD if plain.startswith(prefix)), "")
    rest = plain.removeprefix(start)
    return [f"{prefix}{rest}{end}" for prefix in prefixes for end in ("", ".gz")]


@lru_cache(maxsize=4)
def _listed(folder: str) -> frozenset[str]:
    """Names of the files in a folder; neighbouring files of a pool share it."""
    return frozenset(os.listdir(folder))  # noqa: PTH208 (names, not paths)


def forget_listings() -> None:
    """Look again at which files exist."""
    _listed.cache_clear()
