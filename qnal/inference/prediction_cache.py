"""The members' answers to a pool, kept: what scores derive from without a forward pass.

```
predictions.json                       what forward passes depend on, and how answers are coded
NAME/identity.parquet              identity and target columns of a file, and its version
NAME/members-GROUP.parquet         answers of the members that were computed in one go
NAME/best-cells-MAP.parquet        best cells on a map
```
NAME is the file's path within the pool. A group of members is named by their checksums, which its
metadata lists in order, and belongs to the spectra whose digest is beside them: answers to other
spectra, or of other weights, are never taken for the ones wanted.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qnal.files import PART, files_below, write_text, written_aside
from qnal.inference.packing import PackedPredictions, Packing
from qnal.spectra.file_version import FileVersion
from qnal.spectra.spectra_file import SpectraFile

FORMAT_VERSION = 2
META = b"qnal"
DESCRIPTION = "predictions.json"


@dataclass(frozen=True)
class Group:
    """Members whose answers to one file are in one Parquet file."""

    path: Path
    checksums: tuple[str, ...]
    margins: np.ndarray


@dataclass(frozen=True)
class PredictionCache:
    """A store of answers on disk."""

    path: Path

    def describe(self, content: dict[str, Any]) -> None:
        """Write ``predictions.json``."""
        document = {"format_version": FORMAT_VERSION} | content
        write_text(self.path / DESCRIPTION, json.dumps(document, indent=2) + "\n")

    def version(self, file: SpectraFile) -> FileVersion | None:
        """The version of a file that its identity is of; None where it is not known."""
        return self._version(self._of(file) / "identity.parquet")

    def target_table(self, file: SpectraFile, version: FileVersion) -> pa.Table | None:
        """Identity and target columns of a version of a file."""
        path = self._of(file) / "identity.parquet"
        if not version.same_content(self._version(path)):
            return None
        try:
            table = pq.read_table(path, partitioning=None)
        except (OSError, pa.ArrowException):
            return None
        return table.replace_schema_metadata()

    def write_target_table(self, file: SpectraFile, version: FileVersion, table: pa.Table) -> None:
        """Store the identity and target columns of a version of a file."""
        _write(self._of(file) / "identity.parquet", table, version.to_dict())

    def groups(self, file: SpectraFile, version: FileVersion) -> list[Group]:
        """The groups of members whose answers to that version are there."""
        found = []
        for path in sorted(self._of(file).glob("members-*.parquet")):
            meta = _meta(path)
            if meta is not None and meta.get("spectra") == version.spectra:
                found.append(Group(path, tuple(meta["members"]), np.array(meta["margins"], float)))
        return found

    def missing(
        self, file: SpectraFile, version: FileVersion, checksums: Sequence[str]
    ) -> list[int]:
        """Which members' answers to that version are not there, by their place in the list."""
        there = {c for group in self.groups(file, version) for c in group.checksums}
        first = {checksum: k for k, checksum in reversed(list(enumerate(checksums)))}
        return sorted(k for checksum, k in first.items() if checksum not in there)

    def read(
        self, file: SpectraFile, version: FileVersion, checksums: Sequence[str], packing: Packing
    ) -> PackedPredictions | None:
        """Answers of the members of those checksums, in that order; None if any is missing.

        A group that cannot be read is removed, so that it is computed again.
        """
        parts, order = [], dict[str, int]()
        wanted = set(checksums)
        for group in self.groups(file, version):
            new = [k for k, c in enumerate(group.checksums) if c in wanted and c not in order]
            if not new:
                continue
            try:
                table = pq.read_table(group.path, partitioning=None)
                part = PackedPredictions.of_table(table, group.margins, packing)
            except (OSError, pa.ArrowException, ValueError, KeyError):
                group.path.unlink(missing_ok=True)
                return None
            order |= {group.checksums[k]: len(order) + i for i, k in enumerate(new)}
            parts.append(part.only(new) if len(new) < len(group.checksums) else part)
        if len(order) < len(wanted):
            return None
        return PackedPredictions.side_by_side(parts, [order[c] for c in checksums])

    def write(
        self,
        file: SpectraFile,
        version: FileVersion,
        checksums: Sequence[str],
        rows: np.ndarray,
        packed: PackedPredictions,
        packing: Packing,
    ) -> None:
        """Store answers of members that were computed in one go.

        Args:
            rows: ROW of each spectrum that has answers.
        """
        group = hashlib.sha256("".join(checksums).encode()).hexdigest()[:12]
        columns = packing.columns()
        meta = {"spectra": version.spectra, "members": list(checksums)} | packing.description()
        meta |= {
            "precision": ["bfloat16" if m else "float32" for m in packed.margins],
            "margins": packed.margins.tolist(),
        }
        table = packed.table(rows, columns)
        to_dict = ["DECIDING", "Z_BEST", *columns]
        _write(
            self._of(file) / f"members-{group}.parquet",
            table,
            meta,
            use_dictionary=["ROW", "MEMBER"],
            column_encoding=dict.fromkeys(to_dict, "BYTE_STREAM_SPLIT"),
        )

    def bmus(self, file: SpectraFile, som: str, version: FileVersion) -> pa.Table | None:
        """Best cells of a version of a file on a map; None where they are not known."""
        path = self._bmu_file(file, som)
        meta = _meta(path)
        if meta is None or meta.get("spectra") != version.spectra:
            return None
        try:
            return pq.read_table(path, partitioning=None).replace_schema_metadata()
        except (OSError, pa.ArrowException):
            return None

    def write_bmus(
        self, file: SpectraFile, som: str, version: FileVersion, table: pa.Table
    ) -> None:
        """Store the best cells of a version of a file on a map."""
        _write(self._bmu_file(file, som), table, {"spectra": version.spectra, "som": som})

    def forget(self, file: SpectraFile) -> None:
        """Remove what is known of a file that holds other spectra now, or can not be read."""
        shutil.rmtree(self._of(file), ignore_errors=True)

    def forget_all_but(self, files: Iterable[SpectraFile]) -> None:
        """Remove what is known of files that are no longer in the pool.

        What killed jobs left half-written goes as well, so the store must be locked.
        """
        kept = {file.name for file in files}
        gone = set()
        for name in files_below(self.path):
            folder, _, last = name.rpartition("/")
            if folder and folder not in kept:
                gone.add(folder)
            elif last.endswith(PART):
                (self.path / name).unlink(missing_ok=True)
        for folder in gone:
            shutil.rmtree(self.path / folder, ignore_errors=True)

    def _of(self, file: SpectraFile) -> Path:
        return self.path / file.name

    def _bmu_file(self, file: SpectraFile, som: str) -> Path:
        return self._of(file) / f"best-cells-{som[:12]}.parquet"

    def _version(self, path: Path) -> FileVersion | None:
        try:
            return FileVersion.parse(_meta(path))
        except (ValueError, KeyError, TypeError):
            return None


def _write(path: Path, table: pa.Table, meta: dict[str, Any], **options: Any) -> None:
    table = table.replace_schema_metadata({META: json.dumps(meta, sort_keys=True)})
    with written_aside(path) as scratch:
        pq.write_table(table, scratch, compression="zstd", **options)


def _meta(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(pq.read_metadata(path).metadata[META])
    except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        return None
    return content if isinstance(content, dict) else None
