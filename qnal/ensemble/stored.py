"""An ensemble that is there: its members found, checked against their checksums, and read."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.folder import FORMAT_VERSION, MANIFEST
from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.files import sha256
from qnal.network.network import Network
from qnal.network.weights import SUFFIXES, read_network


class Described:
    """What ``ensemble.json`` says of an ensemble; nothing for a bare folder of weight files."""

    description: dict[str, Any]

    @property
    def bal_trained(self) -> bool:
        """Whether the BAL head has learnt anything; unknown ones are believed."""
        return bool(self.description.get("bal_trained", True))

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds it was trained and judged with; the reference's if it does not say."""
        stored = self.description.get("thresholds", {})
        known = {k: stored[k] for k in vars(Thresholds()) if k in stored}
        return Thresholds(**known)

    @property
    def is_calibrated(self) -> bool:
        """Whether a calibration is stored with it."""
        return bool((self.description.get("calibration") or {}).get("parameters"))

    def calibration(self, thresholds: Thresholds) -> Calibration | None:
        """Its calibration; None where it has none, or none for as many ``min_lines``.

        Raises:
            InputError: its parameters are damaged.
        """
        if not self.is_calibrated:
            return None
        try:
            found = Calibration.of(self.description["calibration"]["parameters"])
        except (ValueError, TypeError) as error:
            raise InputError(f"{MANIFEST}: its calibration cannot be used ({error}).") from error
        return found if found.min_lines == thresholds.min_lines else None


@dataclass(frozen=True)
class StoredEnsemble(Described):
    """The members of a folder, read.

    Attributes:
        networks: the members, in order.
        checksums: SHA-256 of each weight file.
        description: content of ``ensemble.json``; empty for a bare folder of weight files.
    """

    networks: tuple[Network, ...]
    checksums: tuple[str, ...]
    description: dict[str, Any]


@dataclass(frozen=True)
class MemberFiles(Described):
    """Where the members of an ensemble are.

    Attributes:
        files: a weight file a member, in order.
        checksums: SHA-256 of each.
        description: content of ``ensemble.json``; empty for a bare folder of weight files.
    """

    files: tuple[Path, ...]
    checksums: tuple[str, ...]
    description: dict[str, Any]


def find_members(path: Path, n: int | None = None) -> MemberFiles:
    """Find the first ``n`` members (None: all) of an ensemble folder or of bare weight files.

    Args:
        path: a folder that qnal trained, a folder of QuasarNET weight files (``net_*.h5`` or
            ``.keras``, in the order of their numbers), or one such file.

    Raises:
        InputError: nothing is there, or a file is not the one that ``ensemble.json`` names.
    """
    description: dict[str, Any] = {}
    if not path.exists():
        raise InputError(f"ensemble.path={path}: there is no such folder or file.")
    if (path / MANIFEST).is_file():
        description = _manifest(path / MANIFEST)
        files = [path / member["file"] for member in description["members"]]
    else:
        files = _weight_files(path) if path.is_dir() else [path]
    files = files[:n]
    checksums = tuple(_checksum(file) for file in files)
    for known, found, file in zip(description.get("members", []), checksums, files, strict=False):
        if known["sha256"] != found:
            raise InputError(f"{file}: its content does not match the checksum in {MANIFEST}.")
    return MemberFiles(tuple(files), checksums, description)


def read_ensemble(
    path: Path, lines: Sequence[str], bal_lines: Sequence[str], n: int | None = None
) -> StoredEnsemble:
    """Read the first ``n`` members (None: all) of an ensemble folder or of bare weight files.

    Args:
        path: see :func:`find_members`.
        lines, bal_lines: names of the heads, for files that do not say.

    Raises:
        InputError: nothing is there, a file is corrupt, or the members' grids or lines differ.
    """
    found = find_members(path, n)
    networks = read_networks(found.files, lines, bal_lines)
    return StoredEnsemble(networks, found.checksums, found.description)


def read_networks(
    files: Sequence[Path], lines: Sequence[str], bal_lines: Sequence[str]
) -> tuple[Network, ...]:
    """The networks of an ensemble's weight files.

    Raises:
        InputError: a file is corrupt, or the members' grids or lines differ.
    """
    networks = tuple(read_network(file, lines, bal_lines) for file in files)
    first = networks[0]
    for network, file in zip(networks, files, strict=True):
        if (network.grid.name, len(network.grid)) != (first.grid.name, len(first.grid)):
            raise InputError(
                f"{file}: it was trained on the {network.grid.name} grid of {len(network.grid)} "
                f"pixels, {files[0].name} on the {first.grid.name} one of {len(first.grid)}; "
                "members of an ensemble share one grid."
            )
        if (network.lines, network.bal_lines) != (first.lines, first.bal_lines):
            raise InputError(f"{file}: its lines are not those of {files[0].name}.")
    return networks


def _manifest(path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        version, members = document["format_version"], document["members"]
        if not all(isinstance(member[k], str) for member in members for k in ("file", "sha256")):
            raise ValueError("a member's file or checksum is no text")
        if not isinstance(document.get("calibration"), dict | None):
            raise ValueError("its calibration is none")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a readable ensemble description ({error}).") from error
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: format version {version}; this qnal reads {FORMAT_VERSION}.")
    if not members:
        raise InputError(f"{path}: the ensemble has no members yet; run stage=train first.")
    return document


def _weight_files(folder: Path) -> list[Path]:
    """The weight files of a bare folder, one a member."""
    files = sorted((f for f in folder.iterdir() if f.suffix in SUFFIXES), key=_by_number)
    if not files:
        endings = ", ".join(SUFFIXES)
        raise InputError(
            f"ensemble.path={folder}: it has neither {MANIFEST} nor a weight file ({endings})."
        )
    stems = [file.stem for file in files]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise InputError(
            f"ensemble.path={folder}: {min(twice)} is there with several endings; leave one."
        )
    return files


def _checksum(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}).") from error


def _by_number(path: Path) -> tuple[list[int], str]:
    """Order of ``net_2.h5`` before ``net_10.h5``."""
    return [int(n) for n in re.findall(r"\d+", path.stem)], path.name
