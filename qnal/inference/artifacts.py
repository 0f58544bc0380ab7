"""The weight files of an ensemble and a SOM, which every worker process reads once."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qnal.ensemble.stored import read_networks
from qnal.errors import InputError
from qnal.files import sha256
from qnal.network.network import Network
from qnal.som.som import SelfOrganizingMap

Shape = tuple[int, int]
Wrap = tuple[bool, bool]
# Threads of one process must not read the same networks at the same time.
ONCE_PER_PROCESS = threading.RLock()


@dataclass(frozen=True)
class WeightFiles:
    """The weight files of an ensemble; the networks are read once per process.

    Attributes:
        files: one per member, in order; ``checksums`` of them.
        lines, bal_lines: names of the heads, for files that do not name them.
    """

    files: tuple[Path, ...]
    checksums: tuple[str, ...]
    lines: tuple[str, ...]
    bal_lines: tuple[str, ...]

    def networks(self) -> tuple[Network, ...]:
        """The networks.

        Raises:
            InputError: a file is corrupt, or has changed since its checksum was computed.
        """
        with ONCE_PER_PROCESS:
            return _networks(self)


@dataclass(frozen=True)
class SomFiles:
    """Where a SOM is, and for files of SOMVIZ its shape and whether it wraps round."""

    path: Path
    fingerprint: str
    shape: Shape | None = None
    wrap: Wrap | None = None

    def load(self) -> SelfOrganizingMap:
        """The SOM, read once per process."""
        with ONCE_PER_PROCESS:
            return _som(self)


@lru_cache(maxsize=1)
def _networks(weights: WeightFiles) -> tuple[Network, ...]:
    networks = read_networks(weights.files, weights.lines, weights.bal_lines)
    for file, checksum in zip(weights.files, weights.checksums, strict=True):
        if sha256(file) != checksum:
            raise InputError(f"{file}: it was changed while the job was running.")
    return networks


@lru_cache(maxsize=1)
def _som(files: SomFiles) -> SelfOrganizingMap:
    return SelfOrganizingMap.load(files.path, files.shape, files.wrap)


def forget_artifacts() -> None:
    """Release the networks and SOMs that this process has read."""
    _networks.cache_clear()
    _som.cache_clear()
