"""An ensemble on disk: ``ensemble.json`` beside a weight file, a record and answers a member.

::

    ensemble.json                 what the ensemble is: network, lines, grid, training, members
    training_set.parquet          the labelled set, in canonical order, without the spectra
    members/0007.h5               weights, in QuasarNP's layout
    members/0007.json             record: seed, sha256, loss a epoch, out-of-bag metrics
    members/0007_oob.parquet      out-of-bag answers

A member counts from the moment its record exists, which is written last, and as long as its
weights have the checksum in it.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qnal.files import sha256, write_text, written_aside
from qnal.network.network import Network
from qnal.network.weights import write_network

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

    def calibration(self) -> dict[str, Any] | None:
        """What ``ensemble.json`` says of its calibration."""
        try:
            found: dict[str, Any] = json.loads((self.path / MANIFEST).read_text())["calibration"]
        except (OSError, ValueError, KeyError, TypeError):
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

    def out_of_bag(self, member: int, min_lines: int | None = None) -> pd.DataFrame:
        """Out-of-bag answers of a member (INDEX, TARGETID, DECIDING, Z_BEST, C_LYA, …).

        Args:
            member: its number.
            min_lines: which of the lines' confidences is DECIDING, counted from the largest; None:
                the one that decided when the member was trained.
        """
        table = pd.read_parquet(self.out_of_bag_file(member))
        lines = [name for name in table if str(name).startswith("C_")]
        if min_lines is not None and lines:
            table["DECIDING"] = np.sort(table[lines].to_numpy(), axis=1)[:, -min_lines]
        return table

    def training_set(self) -> pd.DataFrame:
        """The labelled set: SOURCE, TARGETID, EXPID, FILE, ROW, LABEL, Z, BAL."""
        return pd.read_parquet(self.path / TRAINING_SET)

    def lock(self, member: int) -> Path:
        """Lock file that claims a member."""
        return self.path / "members" / f".{member:04d}.lock"

    def progress_file(self, member: int) -> Path:
        """File that says how far the training of a member is; it goes when that ends."""
        return self.path / "members" / f".{member:04d}.progress"

    def note_progress(self, member: int, done: int, total: int, loss: float) -> None:
        """Say how far the training of a member is, for whoever watches."""
        with suppress(OSError):  # it is no reason to stop
            self.progress_file(member).write_text(f"{done} {total} {loss:.3f}")

    def in_training(self) -> dict[int, tuple[int, int, float]]:
        """Epochs done, epochs in all, and the loss of each member that is in training."""
        said = {}
        for path in sorted((self.path / "members").glob(".[0-9]*.progress")):
            with suppress(OSError, ValueError):  # finished, or being written, just now
                done, total, loss = path.read_text().split()
                said[int(path.stem[1:])] = int(done), int(total), float(loss)
        return said

    def start(self, description: dict[str, Any], training_set: pd.DataFrame) -> None:
        """Write what the ensemble is; its members come later."""
        try:
            self.training_set()
        except (OSError, ValueError):  # there is none, or it is damaged
            with written_aside(self.path / TRAINING_SET) as scratch:
                training_set.to_parquet(scratch)
        self.finish(description)

    def finish(self, description: dict[str, Any]) -> None:
        """Write ``ensemble.json`` with the members there are.

        A calibration that is there stays, unless the description has another.
        """
        members = [
            {"file": f"members/{r['member']:04d}.h5"}
            | {
                k: r[k]
                for k in ("member", "seed", "attempt", "sha256", "threads", "group", "versions")
                if k in r
            }
            for r in self.records()
        ]
        known = {"format_version": FORMAT_VERSION, "calibration": self.calibration()}
        document = known | description | {"members": members}
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
