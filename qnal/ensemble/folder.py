"""An ensemble on disk: ``ensemble.json`` beside a weight file, a record and answers a member.

```
ensemble.json                 what the ensemble is: network, lines, grid, training, members
training_set.parquet          the labelled set, in canonical order, without the spectra
members/0007.h5               weights, in QuasarNP's layout
members/0007.json             record: seed, sha256, loss a epoch, out-of-bag metrics
members/0007_oob.parquet      out-of-bag answers
```
A member counts from the moment its record exists, which is written last, and as long as its
weights have the checksum in it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.files import sha256, write_text, written_aside
from qnal.network.network import Network
from qnal.network.weights import SUFFIXES, read_network, write_network

FORMAT_VERSION = 1
MANIFEST = "ensemble.json"
TRAINING_SET = "training_set.parquet"


@dataclass(frozen=True)
class EnsembleFolder:
    """A folder that qnal's own training fills, one member after the other."""

    path: Path

    def fingerprint(self) -> str | None:
        """Fingerprint of what the ensemble is made from; None where there is none."""
        try:
            found: str | None = json.loads((self.path / MANIFEST).read_text()).get("fingerprint")
        except (OSError, ValueError, AttributeError):
            return None
        return found

    def weights(self, member: int) -> Path:
        """Weight file of a member."""
        return self.path / "members" / f"{member:04d}.h5"

    def record(self, member: int) -> dict[str, Any] | None:
        """Record of a finished member whose weights are intact, else None."""
        path = self.weights(member).with_suffix(".json")
        try:
            record: dict[str, Any] = json.loads(path.read_text())
            intact = sha256(self.weights(member)) == record["sha256"]
            intact &= sha256(self.out_of_bag_file(member)) == record["oob_sha256"]
            intact &= record["member"] == member and {"seed", "attempt"} <= record.keys()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if intact else None

    def records(self) -> list[dict[str, Any]]:
        """Records of all finished members, in order."""
        numbers = sorted(int(p.stem) for p in (self.path / "members").glob("[0-9]*.json"))
        return [r for k in numbers if (r := self.record(k)) is not None]

    def out_of_bag(self, member: int) -> pd.DataFrame:
        """Out-of-bag answers of a member (INDEX, TARGETID, DECIDING, Z_BEST, …)."""
        return pd.read_parquet(self.out_of_bag_file(member))

    def training_set(self) -> pd.DataFrame:
        """The labelled set: SOURCE, TARGETID, EXPID, FILE, ROW, LABEL, Z, BAL."""
        return pd.read_parquet(self.path / TRAINING_SET)

    def lock(self, member: int) -> Path:
        """Lock file that claims a member."""
        return self.path / "members" / f".{member:04d}.lock"

    def start(self, description: dict[str, Any], training_set: pd.DataFrame) -> None:
        """Write what the ensemble is; its members come later."""
        if not (self.path / TRAINING_SET).exists():
            with written_aside(self.path / TRAINING_SET) as scratch:
                training_set.to_parquet(scratch)
        self.finish(description)

    def finish(self, description: dict[str, Any]) -> None:
        """Write ``ensemble.json`` with the members there are."""
        members = [
            {"file": f"members/{r['member']:04d}.h5"}
            | {
                k: r[k]
                for k in ("member", "seed", "attempt", "sha256", "threads", "versions")
                if k in r
            }
            for r in self.records()
        ]
        document = {"format_version": FORMAT_VERSION} | description | {"members": members}
        write_text(self.path / MANIFEST, json.dumps(document, indent=2) + "\n")

    def add(self, network: Network, oob: pd.DataFrame, record: dict[str, Any]) -> dict[str, Any]:
        """Store a member; returns its record with the checksum of its weights."""
        weights = self.weights(record["member"])
        write_network(network, weights)
        with written_aside(self.out_of_bag_file(record["member"])) as scratch:
            oob.to_parquet(scratch)
        record = record | {
            "sha256": sha256(weights),
            "oob_sha256": sha256(self.out_of_bag_file(record["member"])),
        }
        write_text(weights.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
        return record

    def out_of_bag_file(self, member: int) -> Path:
        """File of a member's out-of-bag answers."""
        return self.path / "members" / f"{member:04d}_oob.parquet"


@dataclass(frozen=True)
class StoredEnsemble:
    """The members of a folder, read.

    Attributes:
        networks: the members, in order.
        checksums: SHA-256 of each weight file.
        description: content of ``ensemble.json``; empty for a bare folder of weight files.
    """

    networks: tuple[Network, ...]
    checksums: tuple[str, ...]
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


@dataclass(frozen=True)
class MemberFiles:
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
