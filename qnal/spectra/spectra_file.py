"""Finding files of spectra: paths, globs and folders of the configuration, resolved."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qnal.errors import InputError

SUFFIXES = (".fits", ".fits.gz")


@dataclass(frozen=True, order=True)
class SpectraFile:
    """A file of spectra.

    Attributes:
        name: path relative to the folder that was searched; names the file in results.
        path: absolute path.
    """

    name: str
    path: Path


def paths_of(value: str | Sequence[str] | None, key: str) -> list[Path]:
    """Existing files and folders, as absolute paths without ``..``; symbolic links are kept.

    Args:
        value: a path, a glob, or a list of these; None is an empty list.
        key: what the value is called in error messages.

    Raises:
        InputError: a path does not exist or a glob matches nothing.
    """
    found: list[Path] = []
    for item in _items(value):
        pattern = str(Path(item).expanduser())
        exists = item != "" and Path(pattern).exists()
        matches = [pattern] if exists else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not matches:
            raise InputError(f"{key}={item}: there is no such file or folder, and no match.")
        found += [Path(os.path.abspath(m)) for m in matches]  # noqa: PTH100 (drops ..)
    return list(dict.fromkeys(found))


def absolute(value: str | Sequence[str] | None) -> list[str]:
    """Paths and globs as absolute strings, whether or not anything matches them."""
    return [os.path.abspath(Path(item).expanduser()) for item in _items(value)]  # noqa: PTH100


def find_files(
    value: str | Sequence[str] | None,
    key: str,
    prefix: str,
    suffixes: tuple[str, ...] = SUFFIXES,
) -> list[SpectraFile]:
    """Files of spectra below the given folders, at any depth, and every file given itself.

    Args:
        value: a path, a glob, or a list of these.
        key: what the value is called in error messages.
        prefix: how the names of the files in folders begin.
        suffixes: how they end.

    Returns:
        The files in the order of their names, which are relative to the folder given, or to the
        folder common to everything given.

    Raises:
        InputError: nothing was given, or nothing was found.
    """
    roots = paths_of(value, key)
    if not roots:
        raise InputError(
            f"{key} is not set; give a folder with {prefix}*{suffixes[0]} files, a file, a glob or "
            "a list."
        )
    base = common_folder(roots)
    found: set[Path] = set()
    for root in roots:
        found.update(files_in_tree(root, prefix, suffixes) if root.is_dir() else [root])
    if not found:
        names = " or ".join(f"{prefix}*{suffix}" for suffix in suffixes)
        raise InputError(f"{key}={value}: it contains no file called {names}.")
    return sorted(SpectraFile(path.relative_to(base).as_posix(), path) for path in found)


def common_folder(roots: Sequence[Path]) -> Path:
    """The folder to which names of files below the given folders and files are relative."""
    return Path(os.path.commonpath([r if r.is_dir() else r.parent for r in roots]))


def files_in_tree(root: Path, prefix: str, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Files below a folder whose names begin with ``prefix``, links to folders followed.

    A gzipped file is left out if the same file lies beside it uncompressed.
    """
    found = []
    visited: set[str] = set()  # a link to a parent folder would otherwise be followed repeatedly
    for folder, below, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in visited:
            below.clear()
            continue
        visited.add(real)
        below.sort()
        present = set(names)
        found += [
            Path(folder, name)
            for name in names
            if name.startswith(prefix)
            and name.endswith(suffixes)
            and not (name.endswith(".gz") and name.removesuffix(".gz") in present)
        ]
    return found


def _items(value: str | Sequence[str] | None) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
