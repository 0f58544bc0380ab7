"""A lock that tells whether a job still lives, whatever became of its process or machine."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def hold(folder: Path) -> Iterator[Path]:
    """Hold a lock in ``folder`` during the block; it is let go of even by a killed process."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.lock"
    try:
        with FileLock(path):
            yield path
    finally:
        path.unlink(missing_ok=True)


def is_held(lock: Path) -> bool:
    """Whether the job that holds a lock lives; False too where its lock is gone."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            pass
    except Timeout:
        return True
    lock.unlink(missing_ok=True)
    return False
