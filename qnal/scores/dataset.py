"""A scores dataset on disk: one Parquet part per file of the pool, and BMUs beside the parts.

.. code-block:: text

    parts/NAME.parquet          the scores of one file (docs/scores.md)
    _dataset.json               what the dataset is: ensemble, thresholds, pool, the SOM of its BMUs
    _files.parquet              index of the parts
    _bmu/SOM/NAME.parquet       BMUs on one SOM: FILE, ROW, BMU, BMU_DISTANCE, BMU_OUTLIER
    _redrock.parquet            which files of Redrock the parts were joined with, if any
    _qso_qn/…                   QN_RR tables, on request
    _redrock_priors/…           priors for re-runs of Redrock, on request
    _statistics/…               sums over the dataset (:mod:`qnal.scores.statistics`)

NAME is the path of the input file within the pool. The metadata of a part says of which version of
the input file it is, so that a part is the same bytes whenever and wherever it is made. Names that
begin with an underscore are ignored by readers of Parquet datasets.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qnal.errors import InputError
from qnal.files import PART, files_below, write_text, written_aside
from qnal.scores.description import FORMAT_VERSION, DatasetDescription
from qnal.scores.file_index import IndexEntry, VoteCounts, read_index, write_index
from qnal.scores.qso_qn import PREFIX, PRIORS_PREFIX, renamed_coadd
from qnal.spectra.file_version import FileVersion, Stat
from qnal.spectra.spectra_file import SpectraFile

METADATA = b"qnal"
PARQUET_END = b"PAR1"


@dataclass(frozen=True)
class ScoresFolder:
    """A scores dataset."""

    path: Path

    @property
    def work(self) -> Path:
        """The work folder that the dataset is in."""
        return self.path.parents[1]

    @property
    def parts(self) -> Path:
        """Folder of the parts."""
        return self.path / "parts"

    @property
    def index(self) -> Path:
        """The index of the parts."""
        return self.path / "_files.parquet"

    def bmus(self, som: str) -> Path:
        """Folder of the BMUs on the SOM of that fingerprint."""
        return self.path / "_bmu" / som[:12]

    def part(self, file: SpectraFile) -> Path:
        """The part of one file."""
        return Path(f"{self.path}/parts/{file.name}.parquet")

    def bmu_file(self, file: SpectraFile, som: str) -> Path:
        """The BMUs of one file."""
        return Path(f"{self.path}/_bmu/{som[:12]}/{file.name}.parquet")

    def qso_qn(self, file: SpectraFile) -> Path:
        """The QN_RR table of one file."""
        return self.path / "_qso_qn" / renamed_coadd(file.name, PREFIX)

    def priors(self, file: SpectraFile) -> Path:
        """Priors for re-runs of Redrock on one file."""
        return self.path / "_redrock_priors" / renamed_coadd(file.name, PRIORS_PREFIX)

    def description(self) -> DatasetDescription:
        """Content of ``_dataset.json``.

        Raises:
            InputError: it is not there, damaged, or of another format version.
        """
        path = self.path / "_dataset.json"
        if not path.exists() and (self.path / "dataset.json").exists():
            raise InputError(
                f"{self.path}: these scores are of format version 1, and this qnal reads "
                f"{FORMAT_VERSION}; delete the folder and run stage=infer again."
            )
        try:
            content = json.loads(path.read_text())
            version = content["format_version"]
            if version == FORMAT_VERSION:
                return DatasetDescription.parse(content, self.work)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a readable description of scores ({error}).") from error
        raise InputError(
            f"{path}: these scores are of format version {version}, and this qnal reads "
            f"{FORMAT_VERSION}; delete the folder and run stage=infer again."
        )

    def describe(self, description: DatasetDescription) -> None:
        """Write ``_dataset.json``."""
        document = {"format_version": FORMAT_VERSION} | description.to_dict(self.work)
        write_text(self.path / "_dataset.json", json.dumps(document, indent=2) + "\n")

    def entry(self, file: SpectraFile, known: IndexEntry | None = None) -> IndexEntry | None:
        """What is known of the part of a file; None where there is no whole part.

        Args:
            file: the input file.
            known: its entry in the index, taken as it is if the part has not changed since;
                otherwise the metadata of the part is read.
        """
        part = self.part(file)
        try:
            stat = os.stat(part)  # noqa: PTH116 (half the time of Path.stat, once per file)
            found = (stat.st_size, stat.st_mtime_ns)
            if known is not None and known.part == found:
                return known
            content = json.loads(pq.read_metadata(part).metadata[METADATA])
            counts = VoteCounts(*(int(content[n]) for n in ("votes", "rechecked", "uncertain")))
            return IndexEntry(FileVersion.parse(content["file"]), counts, found)
        except (OSError, pa.ArrowException, ValueError, KeyError, TypeError):
            return None

    def has_bmus(self, file: SpectraFile, som: str) -> bool:
        """Whether the BMUs of a file are there; the end of the file is written last."""
        try:
            with open(self.bmu_file(file, som), "rb", buffering=0) as f:  # noqa: PTH123 (speed)
                f.seek(-len(PARQUET_END), 2)
                return f.read() == PARQUET_END
        except OSError:
            return False

    def read_part(self, file: SpectraFile) -> pa.Table:
        """The scores of one file."""
        return _read(self.part(file))

    def read_bmus(self, file: SpectraFile, som: str) -> pa.Table:
        """The BMUs of one file."""
        return _read(self.bmu_file(file, som))

    def write(
        self,
        file: SpectraFile,
        table: pa.Table,
        version: FileVersion,
        counts: VoteCounts,
        metadata: dict[str, Any],
    ) -> IndexEntry:
        """Store the scores of one version of a file."""
        document = {"format_version": FORMAT_VERSION, "file": version.to_dict()}
        document |= asdict(counts) | metadata
        return IndexEntry(version, counts, self.store(file, table, document))

    def store(self, file: SpectraFile, table: pa.Table, document: dict[str, Any]) -> Stat:
        """Write a part with its metadata; returns its size and modification time."""
        table = table.replace_schema_metadata({METADATA: json.dumps(document, sort_keys=True)})
        with written_aside(self.part(file)) as scratch:
            pq.write_table(table, scratch, compression="zstd")
        return _stat(self.part(file))

    def set_version(self, file: SpectraFile, version: FileVersion) -> IndexEntry | None:
        """Note in the part that its input file has another time, and the same content."""
        table = self.read_part(file)
        document = json.loads(table.schema.metadata[METADATA]) | {"file": version.to_dict()}
        self.store(file, table, document)
        return self.entry(file)

    def write_bmus(self, file: SpectraFile, som: str, bmus: pa.Table) -> None:
        """Store the BMUs of one file, a table made by :func:`~qnal.scores.bmus.bmu_table`."""
        with written_aside(self.bmu_file(file, som)) as scratch:
            pq.write_table(bmus, scratch, compression="zstd")

    def forget(self, file: SpectraFile) -> None:
        """Remove all that was made from one file."""
        self.part(file).unlink(missing_ok=True)
        self.forget_exports(file)
        for som in (self.path / "_bmu").glob("*"):
            self.bmu_file(file, som.name).unlink(missing_ok=True)

    def forget_exports(self, file: SpectraFile) -> None:
        """Remove what was made from one part for other programs."""
        self.qso_qn(file).unlink(missing_ok=True)
        self.priors(file).unlink(missing_ok=True)

    def forget_all_but(self, files: Iterable[SpectraFile]) -> None:
        """Remove what was made from files that are no longer in the pool.

        Temporary files of killed jobs are removed too, so the dataset must be locked.
        """
        kept = {f"{file.name}.parquet" for file in files}
        for name in files_below(self.parts):
            if name.endswith(PART):
                (self.parts / name).unlink(missing_ok=True)
            elif name not in kept:
                self.forget(SpectraFile(name.removesuffix(".parquet"), self.path))

    def read_index(self) -> dict[str, IndexEntry]:
        """The index, which may lack parts that a killed job wrote."""
        return read_index(self.index)

    def write_index(self, entries: dict[str, IndexEntry]) -> None:
        """Write the index."""
        write_index(self.index, entries)


def _read(file: Path) -> pa.Table:
    try:
        return pq.read_table(file, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{file}: it is damaged ({str(error).splitlines()[0]}); delete it and run stage=infer "
            "again."
        ) from error


def _stat(path: Path) -> Stat:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
