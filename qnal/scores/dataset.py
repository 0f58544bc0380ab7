"""The scores dataset: one Parquet part a coadd file, beside it what belongs to the same rows.

```
dataset.json                    ensemble, thresholds, pool, the map its best cells are of
parts/NAME.parquet              the scores of one file (docs/scores.md)
records/NAME.json               the version of the file that was read, and a summary of its part
bmu/MAP/NAME.parquet            best cells on one map: FILE, ROW, BMU, BMU_DISTANCE, BMU_OUTLIER
cells/MAP/NAME.json             how many spectra, quasars, outliers and disagreement a cell has
qso_qn/NAME                     the QN_RR table of one file, on request
```
NAME is the file's path within the pool. A part holds no times, hosts or run ids, so that it is
the same whenever and wherever it is made. A part counts from the moment its record exists, which
is written last.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.files import PART, files_below, write_text, written_aside
from qnal.scores.pool_summary import PoolSummary
from qnal.scores.qso_qn import qso_qn_name
from qnal.spectra.file_version import FileVersion, Stat
from qnal.spectra.rebin import Status
from qnal.spectra.spectra_file import SpectraFile

FORMAT_VERSION = 2
OUTLIER = 5  # standard deviations from which a spectrum counts as an outlier of its cell
PARQUET_END = b"PAR1"
FITS_BLOCK = 2880  # bytes, of which every FITS file is a multiple
BMU_SCHEMA = pa.schema(
    [
        pa.field("FILE", pa.string(), nullable=False),
        pa.field("ROW", pa.int32(), nullable=False),
        ("BMU", pa.int32()),
        ("BMU_DISTANCE", pa.float32()),
        ("BMU_OUTLIER", pa.float32()),
    ]
)


@dataclass
class CellSums:
    """What lies in each cell of a map, of the spectra that have a best cell and an answer.

    Attributes:
        spectra: how many, shape [cells].
        quasars: how many of them most members vote quasar.
        outliers: how many are outliers of their cell.
        vote_entropy: the sum of theirs.
    """

    spectra: NDArray[np.int64]
    quasars: NDArray[np.int64]
    outliers: NDArray[np.int64]
    vote_entropy: NDArray[np.float64]


@dataclass(frozen=True)
class ScoresFolder:
    """A scores dataset on disk."""

    path: Path

    @property
    def parts(self) -> Path:
        """Folder of the parts."""
        return self.path / "parts"

    def bmus(self, som: str) -> Path:
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

    def version(self, file: SpectraFile) -> FileVersion | None:
        """The version of a file that its part is of; None where there is no whole part."""
        try:
            record = json.loads(_read(self._record(file)))
            version = FileVersion.parse(record["version"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return version if _is_whole(self.part(file)) else None

    def is_scored(self, file: SpectraFile, stat: Stat | None) -> bool:
        """Whether a file's part is there, of the file as it is now."""
        version = self.version(file)
        return version is not None and version.stat == stat

    def has_bmus(self, file: SpectraFile, som: str) -> bool:
        """Whether a file's best cells on that map are there."""
        sums, cells = self._bmu_file(file, som)
        return _ends(sums, b"}\n") and _is_whole(cells)

    def has_qso_qn(self, file: SpectraFile) -> bool:
        """Whether a file's QN_RR table is there, whole as far as its length tells."""
        try:
            size = self.qso_qn(file).stat().st_size
        except OSError:
            return False
        return size > 0 and size % FITS_BLOCK == 0

    def read_part(self, file: SpectraFile) -> pa.Table:
        """The scores of one file."""
        return _read_part(self.part(file), None)

    def read_bmus(self, file: SpectraFile, som: str) -> pa.Table:
        """The best cells of one file on that map."""
        return _read_part(self._bmu_file(file, som)[1], None)

    def write(
        self, file: SpectraFile, table: pa.Table, version: FileVersion, metadata: dict[str, Any]
    ) -> None:
        """Store the scores of one file."""
        table = table.replace_schema_metadata({"qnal": json.dumps(metadata, sort_keys=True)})
        with written_aside(self.part(file)) as scratch:
            pq.write_table(table, scratch, compression="zstd")
        self._write_record(file, version, PoolSummary.of(table).to_dict())

    def note_version(self, file: SpectraFile, version: FileVersion) -> None:
        """Note that a file was written anew and holds what it held."""
        self._write_record(file, version, json.loads(_read(self._record(file)))["summary"])

    def write_bmus(
        self,
        file: SpectraFile,
        table: pa.Table,
        som: str,
        bmu: NDArray,
        distance: NDArray,
        outlier: NDArray,
    ) -> None:
        """Store the best cells of the usable spectra of one file, null for the others.

        Args:
            table: the file's scores.
            bmu: best cell of each spectrum whose STATUS is ok; ``distance`` from it and
                ``outlier`` score likewise, the last NaN where unknown.
        """
        ok = np.asarray(table["STATUS"]) == Status.OK
        where = pa.array(np.cumsum(ok) - 1, mask=~ok)
        arrays = [
            table["FILE"],
            table["ROW"],
            pa.array(bmu, pa.int32()).take(where),
            pa.array(distance, pa.float32()).take(where),
            pa.array(outlier, pa.float32(), from_pandas=True).take(where),
        ]
        self.copy_bmus(file, table, som, pa.table(arrays, schema=BMU_SCHEMA))

    def copy_bmus(self, file: SpectraFile, table: pa.Table, som: str, cells: pa.Table) -> None:
        """Store best cells that are known already; ``table`` is the file's scores."""
        sums, path = self._bmu_file(file, som)
        with written_aside(path) as scratch:
            pq.write_table(cells, scratch, compression="zstd")
        known = cells["BMU"].is_valid().to_numpy() & table["C_NOT"].is_valid().to_numpy()
        bmu = cells["BMU"].filter(pa.array(known)).to_numpy()
        occupied, place = np.unique(bmu, return_inverse=True)
        quasar = table["C_NOT"].to_numpy()[known] < 0.5
        outlier = pc.fill_null(cells["BMU_OUTLIER"], 0).to_numpy()[known] > OUTLIER
        content = {
            "cells": occupied.tolist(),
            "spectra": np.bincount(place, minlength=len(occupied)).tolist(),
            "quasars": np.bincount(place, quasar, len(occupied)).astype(int).tolist(),
            "outliers": np.bincount(place, outlier, len(occupied)).astype(int).tolist(),
            "vote_entropy": np.bincount(
                place, table["VOTE_ENTROPY"].to_numpy()[known], len(occupied)
            ).tolist(),
        }
        write_text(sums, json.dumps(content, separators=(",", ":")) + "\n")

    def qso_qn(self, file: SpectraFile) -> Path:
        """The QN_RR table of one file."""
        return self.path / "qso_qn" / qso_qn_name(file.name)

    def part(self, file: SpectraFile) -> Path:
        """The part of one file."""
        return self.parts / f"{file.name}.parquet"

    def forget(self, file: SpectraFile) -> None:
        """Remove what is known of a file that has changed or can no longer be read."""
        self._record(file).unlink(missing_ok=True)
        self.part(file).unlink(missing_ok=True)
        self.qso_qn(file).unlink(missing_ok=True)
        for som in (self.path / "bmu").glob("*"):
            for path in self._bmu_file(file, som.name):
                path.unlink(missing_ok=True)

    def forget_all_but(self, files: Iterable[SpectraFile]) -> int:
        """Remove what is known of files that are no longer in the pool; returns how many.

        What killed jobs left half-written goes as well, so the dataset must be locked.
        """
        kept = {f"parts/{file.name}.parquet" for file in files}
        gone = []
        for name in files_below(self.path):
            if name.endswith(PART):
                (self.path / name).unlink(missing_ok=True)
            elif name.startswith("parts/") and name not in kept:
                gone.append(name.removeprefix("parts/").removesuffix(".parquet"))
        for name in gone:
            self.forget(SpectraFile(name, self.path))
        return len(gone)

    def summary(self) -> PoolSummary:
        """What all parts look like together."""
        total = PoolSummary()
        for name in sorted(files_below(self.path / "records")):
            if name.rpartition("/")[2].startswith("."):
                continue  # half-written
            try:
                record = json.loads(_read(self.path / "records" / name))
                total.add(PoolSummary.parse(record["summary"]))
            except (OSError, ValueError, KeyError, TypeError) as error:
                path = self.path / "records" / name
                raise InputError(
                    f"{path}: it is damaged ({error}); delete it, and stage=infer scores its "
                    "spectra again."
                ) from error
        return total

    def cell_sums(self, som: str, cells: int) -> CellSums:
        """What lies in each of a map's cells, over all parts."""
        zero = np.zeros(cells, np.int64)
        total = CellSums(zero, zero.copy(), zero.copy(), np.zeros(cells))
        for content in self._all_cells(som):
            at = np.asarray(content["cells"], np.intp)
            total.spectra[at] += content["spectra"]
            total.quasars[at] += content["quasars"]
            total.outliers[at] += content["outliers"]
            total.vote_entropy[at] += content["vote_entropy"]
        return total

    def _all_cells(self, som: str) -> Iterator[dict[str, Any]]:
        folder = self.path / "cells" / som[:12]
        for name in sorted(files_below(folder)):
            if not name.rpartition("/")[2].startswith("."):
                try:
                    yield json.loads(_read(folder / name))
                except (OSError, ValueError) as error:
                    raise InputError(
                        f"{folder / name}: it is damaged ({error}); delete it, and stage=infer "
                        "counts its spectra again."
                    ) from error

    def _record(self, file: SpectraFile) -> Path:
        return self.path / "records" / f"{file.name}.json"

    def _write_record(self, file: SpectraFile, version: FileVersion, summary: Any) -> None:
        content = {"version": version.to_dict(), "summary": summary}
        write_text(self._record(file), json.dumps(content, separators=(",", ":")) + "\n")

    def _bmu_file(self, file: SpectraFile, som: str) -> tuple[Path, Path]:
        sums = self.path / "cells" / som[:12] / f"{file.name}.json"
        return sums, self.bmus(som) / f"{file.name}.parquet"


def read_scores(parts: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of all parts, which takes memory for all of them."""
    files = sorted(parts.rglob("*.parquet"))
    if not files:
        return pa.table([pa.nulls(0) for _ in columns], names=list(columns))
    return pa.concat_tables(_read_part(file, columns) for file in files)


def _read_part(file: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        return pq.read_table(file, columns=columns and list(columns), partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{file}: it is damaged ({str(error).splitlines()[0]}); delete it, and stage=infer "
            "scores its spectra again."
        ) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as f:
        return f.read()


def _is_whole(path: Path) -> bool:
    """Whether a Parquet file is there with its end, which is written last.

    Its footer is not opened: that takes ten times as long, for every file of a pool.
    """
    return _ends(path, PARQUET_END)


def _ends(path: Path, end: bytes) -> bool:
    """Whether a file is there and ends like this."""
    try:
        with path.open("rb", buffering=0) as f:
            f.seek(-len(end), 2)
            return f.read() == end
    except OSError:
        return False
