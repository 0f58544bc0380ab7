"""The prediction cache: the predictions of every member, so that no forward pass is repeated.

.. code-block:: text

    _predictions.json              what the predictions depend on, and how they are packed
    _files/POOL.parquet            index of one pool: which spectra each of its files holds
    ab/ab01…-MEMBERS.parquet       predictions for the spectra of one file
    ab/ab01…-bmu-SOM.parquet       BMUs of the same spectra on a SOM that came later

Predictions are named by the digest of the spectra, so that they do not depend on where a file is,
and by the checksums of the members that were computed in one go, which the metadata lists. A file
has one row per spectrum of the input: the target table, BMUs if there was a SOM, and one list
per quantity with the predictions of the members, null where STATUS is not ``ok``. Where only some
rows were asked for (:mod:`qnal.spectra.row_condition`), the lists of the others are null, too.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from qnal.ensemble.combination import is_ok
from qnal.files import remove_scratch, write_text
from qnal.inference.packing import PackedPredictions, Packing
from qnal.inference.prediction_file import (
    Group,
    nested,
    read_columns,
    read_metadata,
    unnested,
    write_table,
)
from qnal.inference.rows_of_members import RowsOfMembers
from qnal.scores.bmus import BMU_SCHEMA
from qnal.scores.file_index import IndexEntry, read_index, write_index
from qnal.spectra.file_version import FileVersion

FORMAT_VERSION = 2  # bump this number when the content or the layout of the files changes
BMU_COLUMNS = BMU_SCHEMA.names[2:]
TARGETING = "DESI_TARGET"
DIGITS = 32  # of a digest in the name of a file; the metadata has all of it


@dataclass(frozen=True)
class PredictionCache:
    """A prediction cache on disk.

    Attributes:
        path: its folder.
        pool: name of the pool, which the index is of; predictions do not depend on it.
    """

    path: Path
    pool: str

    def describe(self, content: dict[str, Any]) -> None:
        """Write ``_predictions.json``."""
        document = {"format_version": FORMAT_VERSION} | content
        write_text(self.path / "_predictions.json", json.dumps(document, indent=2) + "\n")

    @property
    def index(self) -> Path:
        """The index of the pool."""
        name = hashlib.sha256(self.pool.encode()).hexdigest()[:12]
        return self.path / "_files" / f"{name}.parquet"

    @property
    def lock(self) -> Path:
        """The lock that a job on the pool holds."""
        return self.index.with_suffix(".lock")

    def groups(self, spectra: str) -> list[Group]:
        """The groups of members with predictions for the spectra of that digest."""
        found = []
        for path in sorted(self._folder(spectra).glob(f"{spectra[:DIGITS]}-*.parquet")):
            meta = read_metadata(path)
            if meta.get("spectra") == spectra and "members" in meta:
                members, margins = tuple(meta["members"]), np.array(meta["margins"], float)
                whole, targeting = "rows" not in meta, meta.get("targeting")
                group = Group(path, meta["table"], members, margins, meta["som"], whole, targeting)
                found.append(group)
        return found

    def has_parts(self, spectra: str) -> bool:
        """Whether there are predictions for some rows only, of the spectra of that digest."""
        return any(not group.whole for group in self.groups(spectra))

    def missing(self, spectra: str, checksums: Sequence[str]) -> list[int]:
        """Which members have no predictions, as places in the list; equal weights count once."""
        there = {c for group in self.groups(spectra) if group.whole for c in group.members}
        first = {checksum: k for k, checksum in reversed(list(enumerate(checksums)))}
        return sorted(k for checksum, k in first.items() if checksum not in there)

    def read(
        self, spectra: str, checksums: Sequence[str], packing: Packing
    ) -> PackedPredictions | None:
        """Predictions of the members of those checksums, in that order; None if any is missing.

        A file that cannot be read is removed, so that it is computed again.
        """
        parts, order = [], dict[str, int]()
        wanted = set(checksums)
        for group in filter(lambda g: g.whole, self.groups(spectra)):
            new = [k for k, c in enumerate(group.members) if c in wanted and c not in order]
            if not new:
                continue
            try:
                part = unnested(pq.read_table(group.path, partitioning=None), group, packing)
            except (OSError, pa.ArrowException, ValueError, KeyError):
                group.path.unlink(missing_ok=True)
                return None
            order |= {group.members[k]: len(order) + i for i, k in enumerate(new)}
            parts.append(part.only(new) if len(new) < len(group.members) else part)
        if len(order) < len(wanted):
            return None
        return PackedPredictions.side_by_side(parts, [order[c] for c in checksums])

    def write(
        self,
        version: FileVersion,
        checksums: Sequence[str],
        target_table: pa.Table,
        packed: PackedPredictions,
        packing: Packing,
        bmus: tuple[str, pa.Table] | None = None,
        rows: NDArray[np.bool_] | None = None,
        targeting: str = TARGETING,
    ) -> None:
        """Store predictions of members that were computed in one go.

        Args:
            version: of the input file.
            checksums: of the members.
            target_table: of the input file.
            packed: predictions for its usable rows, or those of ``rows``.
            packing: of the predictions.
            bmus: fingerprint of a SOM and the BMUs of all rows on it.
            rows: which usable rows have predictions; None: all.
            targeting: name of the column that DESI_TARGET was taken from.
        """
        ok = is_ok(target_table)
        made_of = hashlib.sha256("".join(checksums).encode())
        if rows is not None:
            ok = ok & rows
            made_of.update(np.packbits(ok).tobytes())
        group = made_of.hexdigest()[:12]
        meta = {
            "format_version": FORMAT_VERSION,
            "spectra": version.spectra,
            "table": version.table,
            "members": list(checksums),
            "precision": ["bfloat16" if margin else "float32" for margin in packed.margins],
            "margins": packed.margins.tolist(),
            "som": bmus and bmus[0],
        }
        # Neutral values are left out, so that files are the same as before there were others.
        meta |= {} if rows is None else {"rows": int(ok.sum())}
        meta |= {} if targeting == TARGETING else {"targeting": targeting}
        lists = nested(packed, packing, ok)
        table = target_table
        columns = bmus[1].select(BMU_COLUMNS) if bmus else pa.table({})
        for name, column in zip(columns.column_names, columns.columns, strict=True):
            table = table.append_column(name, column)
        for name, column in lists.items():
            table = table.append_column(f"MEMBER_{name}", column)
        split = [f"MEMBER_{name}.list.element" for name in lists if name != "RECHECKED"]
        write_table(
            self._file(version.spectra, group),
            table,
            meta,
            use_dictionary=target_table.column_names,
            column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
        )

    def targeting(self, version: FileVersion) -> str | None:
        """The column that DESI_TARGET of the stored target table was taken from, if known."""
        groups = [g for g in self.groups(version.spectra) if g.table == version.table]
        return next((g.targeting for g in groups if g.targeting is not None), None)

    def target_table(self, version: FileVersion) -> pa.Table | None:
        """The target table of a version of a file; None where another one is stored."""
        for group in self.groups(version.spectra):
            if group.table == version.table:
                names = pq.read_schema(group.path).names
                lists = [n for n in names if not n.startswith("MEMBER_") and n not in BMU_COLUMNS]
                return read_columns(group.path, lists)
        return None

    def of_rows(
        self,
        spectra: str,
        checksums: Sequence[str],
        packing: Packing,
        rows: NDArray[np.bool_],
    ) -> RowsOfMembers:
        """What is stored of some rows, from whole and partial groups.

        Args:
            spectra: digest of the spectra.
            checksums: of the members.
            packing: of the predictions.
            rows: the rows, all of which are usable.
        """
        found = RowsOfMembers.empty(list(dict.fromkeys(checksums)), packing, rows)
        for group in self.groups(spectra):
            if not found.lacks(group.members):
                continue
            try:
                table = pq.read_table(group.path, partitioning=None)
                there = np.asarray(table["MEMBER_DECIDING"].is_valid())
                found.add(unnested(table, group, packing), there, group.members)
            except (OSError, pa.ArrowException, ValueError, KeyError):
                group.path.unlink(missing_ok=True)
        return found

    def bmus(self, version: FileVersion, som: str) -> pa.Table | None:
        """BMUs of the spectra on a SOM, with the target table; None where they are not known."""
        names = ["ROW", *BMU_COLUMNS]
        for group in self.groups(version.spectra):
            if group.som == som:
                return read_columns(group.path, names)
        path = self._file(version.spectra, f"bmu-{som[:12]}")
        if read_metadata(path).get("spectra") != version.spectra:
            return None
        return read_columns(path, names)

    def write_bmus(self, version: FileVersion, som: str, bmus: pa.Table) -> None:
        """Store BMUs of the spectra of a version of a file."""
        path = self._file(version.spectra, f"bmu-{som[:12]}")
        write_table(path, bmus.drop_columns("FILE"), {"spectra": version.spectra, "som": som})

    def forget(self, spectra: Iterable[str]) -> None:
        """Remove predictions for the spectra of these digests, unless another file has them."""
        gone = set(spectra)
        if not gone:
            return
        for index in (self.path / "_files").glob("*.parquet"):
            gone -= {entry.version.spectra for entry in read_index(index).values()}
        for digest in gone:
            for path in self._folder(digest).glob(f"{digest[:DIGITS]}-*.parquet"):
                path.unlink(missing_ok=True)

    def read_index(self) -> dict[str, IndexEntry]:
        """What the files of the pool held when they were read last."""
        return read_index(self.index)

    def write_index(self, entries: dict[str, IndexEntry]) -> None:
        """Write the index of the pool."""
        write_index(self.index, entries)

    def remove_scratch(self) -> None:
        """Remove temporary files of killed jobs, unless a job on another pool is writing."""
        locks = [p for p in self.lock.parent.glob("*.lock") if p != self.lock]
        if not any(map(_is_held, locks)):
            remove_scratch(self.path)

    def _folder(self, spectra: str) -> Path:
        return self.path / spectra[:2]

    def _file(self, spectra: str, what: str) -> Path:
        return self._folder(spectra) / f"{spectra[:DIGITS]}-{what}.parquet"


def _is_held(lock: Path) -> bool:
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
