"""The version of a file of spectra: its size, modification time and digests of its content."""

import hashlib
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import pyarrow as pa

from qnal.spectra.readers.reader import Spectra
from qnal.spectra.spectra_file import SpectraFile

Stat = tuple[int, int]  # size in bytes, modification time in ns


class Verify(StrEnum):
    """How to decide that a file has not changed since it was read.

    ``stat`` compares size and modification time, ``content`` the digests of its arrays.
    """

    stat = "stat"
    content = "content"


@dataclass(frozen=True)
class FileVersion:
    """A file as it was when it was read.

    Attributes:
        size: bytes.
        mtime_ns: modification time, ns.
        spectra: SHA-256 of everything that forward passes depend on.
        table: SHA-256 of the target table.
    """

    size: int
    mtime_ns: int
    spectra: str
    table: str

    @classmethod
    def of(cls, stat: Stat, spectra: Spectra) -> "FileVersion":
        """The version of a file that was read, with its stat from before it was read."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, spectra.table.schema) as stream:
            stream.write_table(spectra.table.combine_chunks())
        table = hashlib.sha256(sink.getvalue()).hexdigest()
        return cls(*stat, spectra.digest, table)

    @classmethod
    def parse(cls, content: Any) -> "FileVersion":
        """The inverse of :meth:`to_dict`; ValueError, KeyError or TypeError for other content."""
        return cls(
            int(content["size"]),
            int(content["mtime_ns"]),
            str(content["spectra"]),
            str(content["table"]),
        )

    def to_dict(self) -> dict[str, int | str]:
        """The attributes as a dictionary."""
        return asdict(self)

    @property
    def stat(self) -> Stat:
        """Size and modification time."""
        return self.size, self.mtime_ns

    def same_content(self, other: "FileVersion | None") -> bool:
        """Whether both digests are equal, whatever the modification times."""
        return other is not None and replace(other, size=self.size, mtime_ns=self.mtime_ns) == self


def stat_of(file: SpectraFile) -> Stat | None:
    """Size and modification time of a file; None if it does not exist."""
    try:
        stat = file.path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
