"""Record of a trained member: the content of ``members/NNNN.json``."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from qnal.files import write_text


@dataclass(frozen=True)
class MemberRecord:
    """How a member was trained, and how well it does out of bag.

    Attributes:
        member: its number.
        seed: seed of the ensemble and number of the member, which seed its random streams.
        attempt: number of earlier attempts that diverged.
        threads, group, versions: thread count, group size and package versions, on which the last
            bits of the weights depend.
        epochs: number of epochs.
        bag_rows: rows of the bootstrap sample, counted as often as they were drawn.
        oob_rows: labelled rows that are out of bag.
        loss: mean training loss per epoch.
        oob: out-of-bag metrics; None where undefined.
        sha256, oob_sha256: checksums of its weight file and its out-of-bag predictions.
    """

    member: int
    seed: list[int]
    attempt: int
    threads: int
    group: int
    versions: dict[str, str]
    epochs: int
    bag_rows: int
    oob_rows: int
    loss: list[float]
    oob: dict[str, float | None]
    sha256: str = ""
    oob_sha256: str = ""

    def write(self, path: Path) -> None:
        """Write the record as JSON, whole or not at all."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "MemberRecord":
        """Read a record; unknown fields are ignored.

        Raises:
            OSError: there is no such file.
            ValueError, TypeError: it is not a complete record.
        """
        document: dict[str, Any] = json.loads(path.read_text())
        if not isinstance(document, dict):
            raise ValueError(f"{path}: not a JSON object")
        return cls(**{f.name: document[f.name] for f in fields(cls) if f.name in document})
