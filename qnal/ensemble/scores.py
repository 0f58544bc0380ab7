"""The scores dataset: one Parquet part a coadd file, beside it what belongs to the same rows.

```
dataset.json                    ensemble, thresholds, pool, the map its best cells are of
parts/NAME.parquet              the scores of one file (FORMATS.md section 11)
inputs/NAME.json                size and time of that file when it was read, digest of its arrays
bmu/MAP/NAME.parquet            best cells on one map: FILE, ROW, BMU, BMU_DISTANCE, BMU_OUTLIER
```
NAME is the file's path within the pool. A part holds no times, hosts or run ids, so that it is
the same whenever and wherever it is made.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.files import PART, write_text, written_aside
from qnal.spectra.coadd import Coadd
from qnal.spectra.rebin import Status
from qnal.spectra.tree import SpectraFile

FORMAT_VERSION = 1
BMU_SCHEMA = pa.schema(
    [
        pa.field("FILE", pa.string(), nullable=False),
        pa.field("ROW", pa.int32(), nullable=False),
        ("BMU", pa.int32()),
        ("BMU_DISTANCE", pa.float32()),
        ("BMU_OUTLIER", pa.float32()),
    ]
)


@dataclass(frozen=True)
class ScoresFolder:
    """A scores dataset on disk."""

    path: Path

    @property
    def parts(self) -> Path:
        """Folder of the parts."""
        return self.path / "parts"

    def best_cells(self, som: str) -> Path:
        """Folder of the best cells on the map of that fingerprint."""
        return self.path / "bmu" / som[:12]

    def description(self) -> dict[str, Any]:
        """Content of ``dataset.json``."""
        path = self.path / "dataset.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            if content["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format version {content['format_version']}")
            content["files"] = int(content["files"])
            if content["som"] is not None:
                som = content["som"]
                content["som"] = {
                    "fingerprint": str(som["fingerprint"]),
                    "cells": int(som["cells"]),
                }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a readable description of scores ({error}).") from error
        return content

    def describe(self, content: dict[str, Any]) -> None:
        """Write ``dataset.json``."""
        document = {"format_version": FORMAT_VERSION} | content
        write_text(self.path / "dataset.json", json.dumps(document, indent=2) + "\n")

    def is_scored(self, file: SpectraFile) -> bool:
        """Whether a file's part is there and the file has not changed since."""
        return self._known_input(file) == _stat(file) and _is_parquet(self._part(file))

    def has_best_cells(self, file: SpectraFile, som: str) -> bool:
        """Whether a file's best cells on that map are there, with all of their columns.

        What an earlier version wrote lacks BMU_OUTLIER: it can be queried, and is written anew.
        """
        path = _named(self.best_cells(som), file, ".parquet")
        return _is_parquet(path, BMU_SCHEMA.names)

    def write(self, file: SpectraFile, table: pa.Table, digest: str, metadata: dict) -> None:
        """Store the scores of one file."""
        stat = _stat(file)
        table = table.replace_schema_metadata({"qnal": json.dumps(metadata, sort_keys=True)})
        with written_aside(self._part(file)) as scratch:
            pq.write_table(table, scratch, compression="zstd")
        content = {"stat": stat, "digest": digest}
        write_text(_named(self.path / "inputs", file, ".json"), json.dumps(content) + "\n")

    def write_best_cells(
        self,
        file: SpectraFile,
        coadd: Coadd,
        som: str,
        bmu: NDArray,
        distance: NDArray,
        outlier: NDArray,
    ) -> None:
        """Store the best cells of the usable spectra of one file, null for the others.

        Args:
            bmu: best cell of each spectrum whose STATUS is ok; ``distance`` from it and
                ``outlier`` score likewise, the last NaN where unknown.
        """
        ok = np.asarray(coadd.table["STATUS"]) == Status.OK
        where = pa.array(np.cumsum(ok) - 1, mask=~ok)
        arrays = [
            coadd.table["FILE"],
            coadd.table["ROW"],
            pa.array(bmu, pa.int32()).take(where),
            pa.array(distance, pa.float32()).take(where),
            pa.array(outlier, pa.float32(), from_pandas=True).take(where),
        ]
        with written_aside(_named(self.best_cells(som), file, ".parquet")) as scratch:
            pq.write_table(pa.table(arrays, schema=BMU_SCHEMA), scratch, compression="zstd")

    def forget(self, file: SpectraFile) -> None:
        """Remove what is known of a file that has changed or can no longer be read."""
        self._part(file).unlink(missing_ok=True)
        _named(self.path / "inputs", file, ".json").unlink(missing_ok=True)
        for som in (self.path / "bmu").glob("*"):
            _named(som, file, ".parquet").unlink(missing_ok=True)

    def forget_all_but(self, files: Iterable[SpectraFile]) -> int:
        """Remove what is known of files that are no longer in the pool; returns how many.

        What killed jobs left half-written goes as well, so the dataset must be locked.
        """
        for left in self.path.rglob(f".*{PART}"):
            left.unlink(missing_ok=True)
        kept = {self._part(file) for file in files}
        gone = [p for p in self.parts.rglob("*.parquet") if p not in kept]
        for part in gone:
            name = part.relative_to(self.parts).as_posix().removesuffix(".parquet")
            self.forget(SpectraFile(name, part))
        return len(gone)

    def _part(self, file: SpectraFile) -> Path:
        return _named(self.parts, file, ".parquet")

    def _known_input(self, file: SpectraFile) -> list[int] | None:
        try:
            content = json.loads(_named(self.path / "inputs", file, ".json").read_text())
            stat: list[int] = content["stat"]
        except (OSError, ValueError, KeyError):
            return None
        return stat


def read_scores(parts: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of all parts."""
    files = sorted(parts.rglob("*.parquet"))
    if not files:
        return pa.table([pa.nulls(0) for _ in columns], names=list(columns))
    return pa.concat_tables(read_part(file, columns) for file in files)


def read_part(file: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of one part."""
    try:
        return pq.read_table(file, columns=list(columns), partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{file}: it is damaged ({str(error).splitlines()[0]}); delete it, and stage=infer "
            "scores its spectra again."
        ) from error


def _is_parquet(path: Path, columns: Collection[str] = ()) -> bool:
    """Whether a part is there with these columns, and its end, written last, can be read."""
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return set(columns) <= set(metadata.schema.names)


def _named(folder: Path, file: SpectraFile, ending: str) -> Path:
    return folder / f"{file.name}{ending}"


def _stat(file: SpectraFile) -> list[int] | None:
    try:
        stat = file.path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]
