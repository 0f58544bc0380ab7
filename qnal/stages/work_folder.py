"""The work folder: where stages put their results and find those of earlier stages.

::

    work_dir/
      mock/FINGERPRINT/         mock survey
      labelled/FINGERPRINT/     labelled spectra on the network's grid
      ensembles/FINGERPRINT/    ensemble
      soms/FINGERPRINT/         SOM
      scores/FINGERPRINT/       scores dataset
      predictions/FINGERPRINT/  prediction cache
      rounds/FINGERPRINT/       round of a simulated loop
      prior/FINGERPRINT/        mock spectra of the prior, on the network's grid
      downloads/FINGERPRINT/    ensemble named by an MLflow URI
      labels/labels.parquet     label table
      learning_curve.csv        metrics after each training with a label table
      runs/STAGE/TIME/          summary, figures and tables of one job
      latest.json               the newest ensemble, SOM, scores, selection and label table
      mlflow.db                 MLflow store

A result is named by the fingerprint of what it was made from, so that a stage finds finished work
instead of repeating it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from qnal.errors import ConfigError
from qnal.files import write_text
from qnal.progress import say

LATEST = "latest.json"
NAME_LENGTH = 12  # hexadecimal digits of the fingerprint in a folder's name


@dataclass(frozen=True)
class WorkFolder:
    """The folder ``work_dir``.

    Attributes:
        path: its absolute path.
    """

    path: Path

    def folder_for(self, kind: str, fingerprint: str) -> Path:
        """Folder of a result, by its kind (``ensembles``, ``soms``, …) and fingerprint."""
        return self.path / kind / fingerprint[:NAME_LENGTH]

    def latest(self, kind: str) -> Path | None:
        """The newest result of a kind (``ensemble``, ``som``, …); None if it is not there."""
        name = self._read().get(kind)
        if not isinstance(name, str):
            return None
        path = self.path / name  # an absolute name replaces self.path
        return path if path.exists() else None

    def own(self, result: Path) -> Path:
        """A result that a file names by its path, in this work folder if it is here too.

        Files such as ``summary.json`` name results by the paths at which they were made. If the
        work folder has been moved or copied since, its own result of the same kind and name is
        meant.
        """
        here = self.path / result.parent.name / result.name
        return here if here.exists() else result

    def set_latest(self, kind: str, path: Path) -> None:
        """Record the newest result of a kind, relative to the work folder if it is inside."""
        inside = path.is_relative_to(self.path)
        name = path.relative_to(self.path).as_posix() if inside else str(path)
        self.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / f".{LATEST}.lock"):
            content = self._read() | {kind: name}
            write_text(self.path / LATEST, json.dumps(content, indent=1) + "\n")

    def given_or_latest(self, value: str | None, key: str, kind: str) -> Path | None:
        """The path that a key of the configuration gives, or else the newest result of a kind.

        Raises:
            ConfigError: nothing exists at the given path.
        """
        if value is not None:
            path = Path(value).expanduser().absolute()
            if not path.exists():
                raise ConfigError(f"{key}={value}: there is no such file or folder.")
            return path
        if latest := self.latest(kind):
            say(f"{key}: using {latest}, the latest one in {self.path}")
            return latest
        return None

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads((self.path / LATEST).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def to_dict(section: Any) -> dict[str, Any]:
    """A section of the configuration as a mapping."""
    return asdict(section)
