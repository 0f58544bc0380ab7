"""A lock file per job, which shows other processes whether the job is still running."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def hold(folder: Path) -> Iterator[Path]:
    """Hold a new lock in ``folder``; the operating system releases it if the process is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4().hex}.lock"
    try:
        with FileLock(path):
            yield path
    finally:
        path.unlink(missing_ok=True)


def is_held(lock: Path) -> bool:
    """Whether the job that created a lock is still running; False if the lock does not exist."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            pass
    except Timeout:
        return True
    lock.unlink(missing_ok=True)
    return False
