"""Writing files atomically: a file exists either completely or not at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qnal.errors import QnalError

PART = ".part"  # suffix of files that are being written
FULL = 2**20  # bytes of free space below which a failed write is reported as a full disk


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` if the block succeeds.

    The temporary file is hidden, ends with ``.part`` and has a random name, so that any number of
    threads, processes and machines may write the same target at once: each rename is atomic, and
    the last one wins. The file is flushed to disk before it is renamed, and removed if the block
    fails. Parent folders are created.

    Raises:
        QnalError: the disk is full.
        OSError: it cannot be written for another reason; ``filename`` is the target.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}{PART}")
    try:
        yield scratch
        with scratch.open("rb") as f:
            os.fsync(f.fileno())
        scratch.replace(path)
    except QnalError:
        raise
    except Exception as error:
        # Libraries report a full disk in different ways, or not at all.
        if shutil.disk_usage(path.parent).free < FULL:
            raise QnalError(f"{path}: the disk is full; the file was not written.") from error
        if isinstance(error, OSError) and error.filename is None and error.errno:
            # As Arrow reports a folder that cannot be written to.
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise
    finally:
        scratch.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically."""
    with written_aside(path) as scratch:
        scratch.write_text(text)


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def files_below(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, relative to it; none if the folder does not exist."""
    start = len(str(folder)) + 1
    for where, below, names in os.walk(folder):
        below.sort()
        prefix = f"{where[start:]}/" if len(where) >= start else ""
        for name in names:
            yield prefix + name


def remove_scratch(folder: Path) -> None:
    """Remove temporary files that killed processes left; nothing may be writing to the folder."""
    for name in files_below(folder):
        if name.endswith(PART):
            (folder / name).unlink(missing_ok=True)
