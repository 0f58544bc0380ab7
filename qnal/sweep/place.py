"""A job's place in a sweep, and the file that describes the sweep to its jobs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from qnal.files import write_text

FILE = "sweep.json"


@dataclass(frozen=True)
class SweepDescription:
    """What a sweep's jobs need to know about it; stored in ``sweep.json`` in its folder.

    Attributes:
        varied: keys and groups that have several values.
        launcher: class of the launcher.
        lock: a file that is locked while the sweep runs.
        stage: stage of its jobs.
    """

    varied: list[str] = field(default_factory=list)
    launcher: str | None = None
    lock: str | None = None
    stage: str = ""

    @classmethod
    def read(cls, folder: Path) -> "SweepDescription":
        """The description in a sweep's folder; an empty one if there is none."""
        try:
            return cls(**json.loads((folder / FILE).read_text()))
        except FileNotFoundError:
            return cls()

    def write(self, folder: Path) -> None:
        """Write it into a sweep's folder."""
        write_text(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")


@dataclass(frozen=True)
class Place:
    """A job's place in a sweep.

    Attributes:
        sweep: folder of the sweep.
        number: of the job, from 0 on.
        label: the overrides by which it differs from the sweep's other jobs.
        lock: a file that is locked while the sweep runs.
        title: name of the sweep's MLflow run, such as ``sweep train: layers, seed``.
        name: name of the job's MLflow run, such as ``layers=4, seed=1``: the UI's list of runs
            shows only the first characters.
    """

    sweep: Path
    number: int
    label: str
    lock: Path | None = None
    title: str = "sweep"
    name: str = ""


def title_of(stage: str, varied: Sequence[str]) -> str:
    """Name of a sweep by its stage and what varies in it."""
    name = f"sweep {stage}".strip()
    return f"{name}: {', '.join(short(varied))}" if varied else name


def name_of(overrides: Mapping[str, str], varied: Sequence[str]) -> str:
    """The varied overrides of a job with short names; empty if it is not known which vary."""
    given = [key for key in overrides if key in varied]
    return ", ".join(f"{n}={overrides[key]}" for n, key in zip(short(given), given, strict=True))


def short(keys: Sequence[str]) -> list[str]:
    """Names of keys without their sections, where that is unambiguous."""
    last = [key.rpartition(".")[2] for key in keys]
    return [name if last.count(name) == 1 else key for name, key in zip(last, keys, strict=True)]


def as_mapping(overrides: Sequence[str]) -> dict[str, str]:
    """Overrides such as ``+train.epochs=2`` as a mapping of keys to values."""
    pairs = (override.lstrip("+~").partition("=") for override in overrides)
    return {key: value for key, _, value in pairs}


def label_of(overrides: Mapping[str, str], varied: Sequence[str]) -> str:
    """The varied overrides of a job, or all of them if it is not known which are varied."""
    chosen = {k: v for k, v in overrides.items() if k in varied} or overrides
    return ", ".join(f"{key}={value}" for key, value in chosen.items())
