"""``_files.parquet``: which files a dataset or a prediction cache knows, in one table.

The index makes it fast to find out which files are finished. It is written by the job's own process
at the end of its work. What a killed job did not add is found again from the files themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qnal.files import written_aside
from qnal.spectra.file_version import FileVersion, Stat

SCHEMA = pa.schema(
    [
        ("FILE", pa.string()),
        ("SIZE", pa.int64()),
        ("MTIME_NS", pa.int64()),
        ("SPECTRA", pa.string()),
        ("TABLE", pa.string()),
        ("VOTES", pa.int64()),
        ("RECHECKED", pa.int64()),
        ("UNCERTAIN", pa.int64()),
        ("PART_SIZE", pa.int64()),
        ("PART_MTIME_NS", pa.int64()),
    ]
)


@dataclass(frozen=True)
class VoteCounts:
    """Numbers of votes, of spectra times members.

    Attributes:
        votes: all of them.
        rechecked: those of bfloat16 that were computed again in float32.
        uncertain: those that lie within the rounding error of bfloat16.
    """

    votes: int = 0
    rechecked: int = 0
    uncertain: int = 0


@dataclass(frozen=True)
class IndexEntry:
    """One file.

    Attributes:
        version: the version that was read.
        counts: votes in its part.
        part: size and modification time of its part.
    """

    version: FileVersion
    counts: VoteCounts = VoteCounts()
    part: Stat = (0, 0)


def read_index(path: Path) -> dict[str, IndexEntry]:
    """Entries by the name of the file; none where there is no index or it is damaged."""
    try:
        table = pq.read_table(path, schema=SCHEMA, partitioning=None)
        columns = [table[name].to_pylist() for name in SCHEMA.names]
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return {}
    return {
        name: IndexEntry(FileVersion(*version), VoteCounts(*counts), part)
        for name, version, counts, part in zip(
            columns[0],
            zip(*columns[1:5], strict=True),
            zip(*columns[5:8], strict=True),
            zip(*columns[8:], strict=True),
            strict=True,
        )
    }


def write_index(path: Path, entries: Mapping[str, IndexEntry]) -> None:
    """Write all entries, in the order of the names."""
    rows = [
        (name, e.version.size, e.version.mtime_ns, e.version.spectra, e.version.table)
        + (e.counts.votes, e.counts.rechecked, e.counts.uncertain, *e.part)
        for name, e in sorted(entries.items())
    ]
    columns = zip(*rows, strict=True) if rows else ([] for _ in SCHEMA)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    with written_aside(path) as scratch:
        pq.write_table(pa.table(arrays, schema=SCHEMA), scratch, compression="zstd")


def content_digest(entries: Mapping[str, IndexEntry]) -> str:
    """Digest of what the parts hold: it changes if a file is added, removed or changed."""
    digest = sha256()
    for name, entry in sorted(entries.items()):
        digest.update(f"{name}\0{entry.version.spectra}\0{entry.version.table}\n".encode())
    return digest.hexdigest()
