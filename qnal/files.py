"""Files that are either whole or absent."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qnal.errors import QnalError

PART = ".part"
FULL = 2**20  # bytes: less free space than one file takes


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a scratch path beside ``path``; rename it to ``path`` once the block has succeeded.

    The scratch file is hidden and ends with ``.part``, so that what a killed process leaves is not
    taken for a whole one. It is flushed to disk before the rename, and removed if the block fails.
    Parent folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        yield scratch
        with scratch.open("rb") as f:
            os.fsync(f.fileno())
        scratch.replace(path)
    except QnalError:
        raise
    except Exception as error:
        # Libraries tell a full disk each in their own way, or not at all.
        if shutil.disk_usage(path.parent).free < FULL:
            raise QnalError(f"{path}: the disk is full; nothing of the file was kept.") from error
        raise
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with written_aside(path) as scratch:
        scratch.write_text(text)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def files_below(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, relative to it; none where there is no such folder."""
    start = len(str(folder)) + 1
    for where, below, names in os.walk(folder):
        below.sort()
        prefix = f"{where[start:]}/" if len(where) >= start else ""
        for name in names:
            yield prefix + name


def remove_scratch(folder: Path) -> None:
    """Remove what killed processes left half-written; nothing else may be writing there."""
    for name in files_below(folder):
        if name.endswith(PART):
            (folder / name).unlink(missing_ok=True)
