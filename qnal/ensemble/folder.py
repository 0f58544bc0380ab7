"""Ensemble folder: members on disk, found, checked, read and written.

.. code-block:: text

    ensemble.json                 what the ensemble is: settings, thresholds, calibration, members
    training_set.parquet          the labelled set in canonical order, without the spectra
    members/0007.h5               weights, in the layout that QuasarNP reads
    members/0007.json             record: seed, checksums, loss per epoch, out-of-bag metrics
    members/0007_oob.parquet      out-of-bag predictions

The record of a member is written last. A member exists once its record does, as long as its
weights and predictions match the checksums in the record. Folders of bare weight files, such as
QuasarNET's ``net_*.h5``, can be read as well.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.ensemble.description import MANIFEST, EnsembleDescription, ListedMember
from qnal.ensemble.member_record import MemberRecord
from qnal.ensemble.stored import StoredEnsemble, read_networks
from qnal.errors import InputError
from qnal.files import sha256, written_aside
from qnal.network.network import Network
from qnal.network.weights import SUFFIXES, write_network

TRAINING_SET = "training_set.parquet"


@dataclass(frozen=True)
class EnsembleFolder:
    """An ensemble on disk.

    Attributes:
        path: the folder. For reading, it can also be a folder of bare weight files (``*.h5`` or
            ``*.keras``, ordered by the numbers in their names) or a single weight file.
    """

    path: Path

    def description(self) -> EnsembleDescription:
        """What ``ensemble.json`` records; the defaults for bare weight files.

        Raises:
            InputError: the path does not exist, or ``ensemble.json`` is damaged.
        """
        if not self.path.exists():
            raise InputError(f"ensemble {self.path}: there is no such folder or file.")
        manifest = self.path / MANIFEST
        return EnsembleDescription.read(manifest) if manifest.is_file() else EnsembleDescription()

    def fingerprint(self) -> str | None:
        """Fingerprint of the ensemble; None without a readable ``ensemble.json``."""
        with suppress(InputError):
            return self.description().fingerprint or None
        return None

    def weight_files(self, n: int | None = None) -> dict[Path, str]:
        """Weight files of the first ``n`` members (None: all) in order, with their checksums.

        Raises:
            InputError: there is none, or one does not match its checksum in ``ensemble.json``.
        """
        listed = self.description().members
        if listed:
            files = [self.path / member.file for member in listed]
        elif (self.path / MANIFEST).is_file():
            raise InputError(
                f"{self.path / MANIFEST}: the ensemble has no members yet; run stage=train first."
            )
        else:
            files = _bare_weight_files(self.path) if self.path.is_dir() else [self.path]
        found = {file: _checksum(file) for file in files[:n]}
        for member, (file, checksum) in zip(listed, found.items(), strict=False):
            if member.sha256 != checksum:
                raise InputError(f"{file}: its content does not match the checksum in {MANIFEST}.")
        return found

    def read(
        self, lines: Sequence[str], bal_lines: Sequence[str], n: int | None = None
    ) -> StoredEnsemble:
        """Read the first ``n`` members (None: all).

        Args:
            lines, bal_lines: names of the heads, for weight files that do not record them.
            n: number of members.

        Raises:
            InputError: there is nothing to read, a file is corrupt, or the members' grids or lines
                differ.
        """
        files = self.weight_files(n)
        networks = read_networks(tuple(files), lines, bal_lines)
        return StoredEnsemble(networks, tuple(files.values()), self.description())

    def weights(self, member: int) -> Path:
        """Weight file of a member."""
        return self.path / "members" / f"{member:04d}.h5"

    def out_of_bag_file(self, member: int) -> Path:
        """File of a member's out-of-bag predictions."""
        return self.path / "members" / f"{member:04d}_oob.parquet"

    def lock(self, member: int) -> Path:
        """Lock file by which a process claims a member."""
        return self.path / "members" / f".{member:04d}.lock"

    def record(self, member: int) -> MemberRecord | None:
        """Record of a trained member whose files match their checksums, else None."""
        try:
            record = MemberRecord.read(self.weights(member).with_suffix(".json"))
            intact = sha256(self.weights(member)) == record.sha256
            intact &= sha256(self.out_of_bag_file(member)) == record.oob_sha256
        except (OSError, ValueError, TypeError):
            return None
        return record if intact and record.member == member else None

    def records(self, n: int | None = None) -> list[MemberRecord]:
        """Records of the trained members with numbers below ``n`` (None: all), in order."""
        numbers = sorted(int(p.stem) for p in (self.path / "members").glob("[0-9]*.json"))
        known = (self.record(k) for k in numbers if n is None or k < n)
        return [record for record in known if record is not None]

    def out_of_bag(self, member: int, min_lines: int | None = None) -> pd.DataFrame:
        """Out-of-bag predictions of a member (INDEX, TARGETID, DECIDING, Z_BEST, C_LYA, …).

        Args:
            member: its number.
            min_lines: DECIDING becomes the ``min_lines``-th largest line confidence; None: as it
                was when the member was trained.
        """
        table = pd.read_parquet(self.out_of_bag_file(member))
        lines = [name for name in table if str(name).startswith("C_")]
        if min_lines is not None and lines:
            table["DECIDING"] = np.sort(table[lines].to_numpy(), axis=1)[:, -min_lines]
        return table

    def training_set(self) -> pd.DataFrame:
        """The labelled set: SOURCE, TARGETID, EXPID, FILE, ROW, LABEL, Z, BAL."""
        return pd.read_parquet(self.path / TRAINING_SET)

    def start(self, description: EnsembleDescription, training_set: pd.DataFrame) -> None:
        """Write the description and the labelled set; members are added later.

        The labelled set is written again if it is damaged, or if ``high_z`` changed its LABEL.
        """
        there = None
        with suppress(OSError, ValueError):
            there = self.training_set()
        if there is None or not there.equals(training_set):
            with written_aside(self.path / TRAINING_SET) as scratch:
                training_set.to_parquet(scratch)
        self.write(description)

    def write(self, description: EnsembleDescription) -> None:
        """Write ``ensemble.json`` with the members that are trained.

        If the description has no calibration, the one in the file is kept.
        """
        calibration = description.calibration
        if calibration is None:
            with suppress(InputError):
                calibration = self.description().calibration
        members = tuple(
            ListedMember(
                file=f"members/{r.member:04d}.h5",
                member=r.member,
                seed=r.seed,
                attempt=r.attempt,
                sha256=r.sha256,
                threads=r.threads,
                group=r.group,
                versions=r.versions,
            )
            for r in self.records()
        )
        replace(description, calibration=calibration, members=members).write(self.path / MANIFEST)

    def add(self, network: Network, oob: pd.DataFrame, record: MemberRecord) -> MemberRecord:
        """Store a member; returns its record completed by the checksums of its files."""
        weights, predictions = self.weights(record.member), self.out_of_bag_file(record.member)
        write_network(network, weights)
        with written_aside(predictions) as scratch:
            oob.to_parquet(scratch)
        record = replace(record, sha256=sha256(weights), oob_sha256=sha256(predictions))
        record.write(weights.with_suffix(".json"))
        return record


def _bare_weight_files(folder: Path) -> list[Path]:
    """Weight files of a folder without ``ensemble.json``, one per member."""
    files = sorted((f for f in folder.iterdir() if f.suffix in SUFFIXES), key=_by_number)
    if not files:
        endings = ", ".join(SUFFIXES)
        raise InputError(
            f"ensemble {folder}: it has neither {MANIFEST} nor a weight file ({endings})."
        )
    stems = [file.stem for file in files]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise InputError(
            f"ensemble {folder}: there are several files named {min(twice)}, with different "
            "endings; keep one."
        )
    return files


def _checksum(file: Path) -> str:
    try:
        return sha256(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}).") from error


def _by_number(path: Path) -> tuple[list[int], str]:
    """Sort key that puts ``net_2.h5`` before ``net_10.h5``."""
    return [int(n) for n in re.findall(r"\d+", path.stem)], path.name
