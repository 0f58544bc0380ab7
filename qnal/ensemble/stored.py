"""Loaded ensemble: the networks of all members, with what is recorded about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qnal.ensemble.description import EnsembleDescription
from qnal.errors import InputError
from qnal.network.network import Network
from qnal.network.weights import read_network


@dataclass(frozen=True)
class StoredEnsemble:
    """The members of an ensemble, read from disk.

    Attributes:
        networks: the members, in order.
        checksums: SHA-256 of each weight file.
        description: content of ``ensemble.json``; the defaults for bare weight files.
    """

    networks: tuple[Network, ...]
    checksums: tuple[str, ...]
    description: EnsembleDescription = field(default_factory=EnsembleDescription)


def read_networks(
    files: Sequence[Path], lines: Sequence[str], bal_lines: Sequence[str]
) -> tuple[Network, ...]:
    """Read the networks of an ensemble's weight files.

    Args:
        files: one weight file per member.
        lines, bal_lines: names of the heads, for weight files that do not record them.

    Raises:
        InputError: a file is corrupt, or the members' grids or lines differ.
    """
    networks = tuple(read_network(file, lines, bal_lines) for file in files)
    first = networks[0]
    for network, file in zip(networks, files, strict=True):
        if (network.grid.name, len(network.grid)) != (first.grid.name, len(first.grid)):
            raise InputError(
                f"{file}: it was trained on the {network.grid.name} grid of {len(network.grid)} "
                f"pixels, {files[0].name} on the {first.grid.name} grid of {len(first.grid)}; all "
                "members of an ensemble must have the same grid."
            )
        if (network.lines, network.bal_lines) != (first.lines, first.bal_lines):
            raise InputError(f"{file}: its lines differ from those of {files[0].name}.")
    return networks
