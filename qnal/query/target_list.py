"""Lists of targets: text files with one TARGETID per line and ``#`` comments.

This is the format of ``prospect_pages --target_list`` (docs/formats.md).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.files import write_text

_INT64 = np.iinfo(np.int64)


def read_target_list(path: Path) -> NDArray[np.int64]:
    """Read TARGETIDs in the order of the file, int64 [n], without loss of digits.

    Raises:
        InputError: the file cannot be read, or a line is not a 64-bit integer.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of TARGETIDs ({error}).") from error
    targetids = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and _INT64.min <= int(text) <= _INT64.max):
            raise InputError(f"{path}, line {number}: {text[:60]!r} is not a TARGETID.")
        targetids.append(int(text))
    return np.array(targetids, np.int64)


def read_target_lists(paths: Sequence[Path]) -> NDArray[np.int64]:
    """The distinct TARGETIDs of several lists, sorted."""
    lists = [read_target_list(path) for path in paths]
    return np.unique(np.concatenate(lists)) if lists else np.empty(0, np.int64)


def write_target_list(path: Path, targetids: Iterable[int]) -> None:
    """Write one TARGETID per line, in the given order."""
    write_text(path, "".join(f"{int(targetid)}\n" for targetid in targetids))
