"""Where spectra lie: folders, files and globs, and what their paths tell."""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qnal.errors import InputError

# File names of the four DESI trees (FORMATS.md section 2), with what each tells.
_NAMES = [
    re.compile(r"coadd-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-exp(?P<EXPID>\d+)$"),
    re.compile(r"coadd-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-thru(?P<NIGHT>\d{8})$"),
    re.compile(r"coadd-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-(?P<NIGHT>2\d{7})$"),
    # Older perexp trees have the exposure number without "exp" before it.
    re.compile(r"coadd-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-(?P<EXPID>0\d{7})$"),
    re.compile(r"coadd-(?P<SURVEY>[a-z][a-z0-9]*)-(?P<PROGRAM>[a-z][a-z0-9]*)-(?P<HPXPIXEL>\d+)$"),
]


@dataclass(frozen=True, order=True)
class SpectraFile:
    """One file of spectra: where it is, and its name within the tree it was found in."""

    name: str
    path: Path

    def name_fields(self) -> dict[str, int | str]:
        """What the file's name tells of TILEID, EXPID, NIGHT, HPXPIXEL, PETAL_LOC, … ."""
        stem = self.path.name.removesuffix(".gz").removesuffix(".fits")
        for pattern in _NAMES:
            if found := pattern.match(stem):
                return {k: int(v) if v.isdigit() else v for k, v in found.groupdict().items()}
        return {}


def paths_of(value: str | Sequence[str] | None, key: str) -> list[Path]:
    """Existing files and folders of a config value: a path, a glob, or several of either.

    Raises:
        InputError: a path does not exist or a glob matches nothing; names ``key``.
    """
    found: list[Path] = []
    for item in _several(value):
        pattern = str(Path(item).expanduser())
        there = item != "" and Path(pattern).exists()
        matches = [pattern] if there else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not matches:
            raise InputError(f"{key}={item}: there is no such file or folder, and no match.")
        found += [Path(os.path.abspath(m)) for m in matches]  # noqa: PTH100 (drops ..)
    return list(dict.fromkeys(found))


def absolute(value: str | Sequence[str] | None) -> list[str]:
    """The paths and globs of a config value, absolute; nothing is looked up."""
    return [os.path.abspath(Path(item).expanduser()) for item in _several(value)]  # noqa: PTH100


def _several(value: str | Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def find_coadds(value: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
    """Every coadd below the given folders, and every file given itself, in the order of names.

    Folders are searched to any depth for ``coadd-*.fits`` and ``coadd-*.fits.gz``. Names are
    relative to the folder given, or to the folder common to all that was given.

    Raises:
        InputError: nothing was given, or nothing was found.
    """
    roots = paths_of(value, key)
    if not roots:
        raise InputError(f"{key} is not set; give a folder of coadds, a file, a glob or a list.")
    base = common_folder(roots)
    found: set[Path] = set()
    for root in roots:
        found.update(_walk(root) if root.is_dir() else [root])
    if not found:
        raise InputError(f"{key}={value}: no file called coadd-*.fits or coadd-*.fits.gz is in it.")
    return sorted(SpectraFile(path.relative_to(base).as_posix(), path) for path in found)


def common_folder(roots: Sequence[Path]) -> Path:
    """The folder to which the names of the files below some folders and files are relative."""
    return Path(os.path.commonpath([r if r.is_dir() else r.parent for r in roots]))


def expanded(paths: Sequence[Path]) -> list[Path]:
    """The same paths with the ``spec-*.fits`` and ``spec-*.fits.gz`` below folders in their place.

    Raises:
        InputError: a folder has none.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(_walk(path, "spec-")) if path.is_dir() else [path]
        if not found:
            raise InputError(f"{path}: no file called spec-*.fits or spec-*.fits.gz is in it.")
        files += found
    return list(dict.fromkeys(files))


def _walk(root: Path, prefix: str = "coadd-") -> list[Path]:
    """Files of that prefix; a zipped one with an unzipped twin beside it is left out."""
    found = []
    seen: set[str] = set()  # a link to a folder above would otherwise give files many times
    for folder, below, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        there = set(names)
        found += [
            Path(folder, name)
            for name in names
            if name.startswith(prefix)
            and name.endswith((".fits", ".fits.gz"))
            and not (name.endswith(".gz") and name.removesuffix(".gz") in there)
        ]
    return found
