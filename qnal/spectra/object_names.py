"""TARGETIDs of objects that a survey names by strings."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError


def targetid_of(name: str) -> int:
    """The TARGETID of a name, from 0 to 2**63 − 1.

    The first 8 bytes of the SHA-256 of the name in UTF-8, without blanks at either end, as a
    big-endian integer without its highest bit.
    """
    first = hashlib.sha256(name.strip().encode()).digest()[:8]
    return int.from_bytes(first, "big") & (2**63 - 1)


def targetids_of(names: Sequence[str], path: Path) -> NDArray[np.int64]:
    """TARGETIDs of the names in a file, shape [rows].

    Args:
        names: one per spectrum; a name that is there several times is one object.
        path: the file, for messages.

    Raises:
        InputError: a name is empty, or two names have the same TARGETID.
    """
    ids = [targetid_of(name) for name in names]
    first: dict[int, str] = {}
    for row, (number, name) in enumerate(zip(ids, names, strict=True)):
        if not name.strip():
            raise InputError(f"{path}: row {row} has no object name, so it has no TARGETID.")
        if first.setdefault(number, name.strip()) != name.strip():
            raise InputError(collision(str(path), first[number], name.strip(), number))
    return np.array(ids, np.int64)


def collision(where: str, one: str, other: str, targetid: int) -> str:
    """The sentence for two names with one TARGETID."""
    return (
        f"{where}: the objects {one} and {other} have the same TARGETID {targetid}, a hash of "
        "their names; rename one of them or give integers."
    )
