"""The stored rounds of simulated loops: one folder per round, whole or not at all."""

import json
import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from qnal.ensemble.description import MANIFEST
from qnal.ensemble.folder import EnsembleFolder
from qnal.files import files_below

SCORES, RECORD = "scores.parquet", "round.json"
NETWORKS = "networks"  # an ensemble folder with the weights only
NAME_LENGTH = 16  # hexadecimal digits of the fingerprint in a folder's name
SCRATCH = ".part"


@dataclass(frozen=True)
class RoundRecord:
    """How a round was made.

    Attributes:
        fingerprint: identity of the round; it names the folder.
        ensemble: fingerprint of the ensemble that was trained.
        spectra: number of spectra that the members were trained on.
        members: number of members that were trained.
        steps: optimizer steps of a member.
        training_seconds, scoring_seconds: wall-clock time.
        calibrated: whether the soft probabilities are calibrated.
        failed: why members could not be trained.
    """

    fingerprint: str
    ensemble: str
    spectra: int
    members: int
    steps: int
    training_seconds: float
    scoring_seconds: float
    calibrated: bool
    failed: list[str]


@dataclass(frozen=True)
class RoundStore:
    """A folder of rounds.

    Attributes:
        path: the folder.
    """

    path: Path

    def folder(self, fingerprint: str) -> Path:
        """Folder of a round."""
        return self.path / fingerprint[:NAME_LENGTH]

    def training_folder(self, fingerprint: str) -> Path:
        """Folder of the members while a round is being trained."""
        return self.path / ".training" / fingerprint[:NAME_LENGTH]

    def record(self, fingerprint: str) -> RoundRecord | None:
        """The record of a round; None if the round is not there."""
        try:
            record = RoundRecord(**json.loads((self.folder(fingerprint) / RECORD).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.fingerprint == fingerprint else None

    def records(self) -> list[RoundRecord]:
        """The records of all rounds, of whatever study."""
        found = (p.name for p in self.path.glob("[0-9a-f]*") if (p / RECORD).is_file())
        documents = (json.loads((self.path / name / RECORD).read_text()) for name in sorted(found))
        return [RoundRecord(**document) for document in documents]

    def scores(self, fingerprint: str) -> pd.DataFrame:
        """Scores of the spectra that were not inspected, with INDEX, their row of the set."""
        return pd.read_parquet(self.folder(fingerprint) / SCORES)

    def networks(self, fingerprint: str) -> Path:
        """Folder of a round's networks, an ensemble folder with weights alone."""
        return self.folder(fingerprint) / NETWORKS

    def has_networks(self, fingerprint: str) -> bool:
        """Whether a round was stored with its networks."""
        return (self.networks(fingerprint) / MANIFEST).is_file()

    def add(
        self, record: RoundRecord, scores: pd.DataFrame, ensemble: EnsembleFolder | None = None
    ) -> None:
        """Store a round under its name, whole or not at all.

        Args:
            record: how it was made.
            scores: the scores of the other spectra.
            ensemble: the ensemble whose weights are kept for the next round; None to keep none.
        """
        folder = self.folder(record.fingerprint)
        scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{SCRATCH}")
        scratch.mkdir(parents=True)
        scores.to_parquet(scratch / SCORES)
        (scratch / RECORD).write_text(json.dumps(asdict(record), indent=1) + "\n")
        if ensemble is not None:
            for source in (ensemble.path / MANIFEST, *ensemble.weight_files()):
                copy = scratch / NETWORKS / source.relative_to(ensemble.path)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, copy)
        for path in files_below(scratch):
            with (scratch / path).open("rb") as file:
                os.fsync(file.fileno())
        if folder.exists():  # damaged or without networks, or it would have been found
            shutil.rmtree(folder)
        scratch.rename(folder)

    def remove_training(self, fingerprint: str) -> None:
        """Remove the members of a round that is stored."""
        shutil.rmtree(self.training_folder(fingerprint), ignore_errors=True)

    def remove_scratch(self, fingerprint: str) -> None:
        """Remove what a killed job left of a round; the round must be locked."""
        for scratch in self.path.glob(f".{fingerprint[:NAME_LENGTH]}.*{SCRATCH}"):
            shutil.rmtree(scratch)
