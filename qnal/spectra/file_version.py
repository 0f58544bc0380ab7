"""Which version of a file of spectra was read: when it was written, and what it held."""

import hashlib
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import pyarrow as pa

from qnal.spectra.readers.desi import Coadd
from qnal.spectra.spectra_file import SpectraFile

Stat = tuple[int, int]  # size in bytes, time of the last change in ns


class Verify(StrEnum):
    """How it is told that a file has not changed since it was read."""

    stat = "stat"
    content = "content"


@dataclass(frozen=True)
class FileVersion:
    """A file as it was when it was read.

    Attributes:
        size: bytes.
        mtime_ns: when it was last written, ns.
        spectra: SHA-256 of all that forward passes see.
        table: SHA-256 of what else goes into a part: identity, targets, signal-to-noise, status.
    """

    size: int
    mtime_ns: int
    spectra: str
    table: str

    @classmethod
    def of(cls, stat: Stat, coadd: Coadd) -> "FileVersion":
        """The version that was read, with the file's stat from before it was."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, coadd.table.schema) as stream:
            stream.write_table(coadd.table.combine_chunks())
        table = hashlib.sha256(sink.getvalue()).hexdigest()
        return cls(*stat, coadd.digest, table)

    @classmethod
    def parse(cls, content: Any) -> "FileVersion":
        """A version as :meth:`plain` gave it; ValueError, KeyError or TypeError if it is none."""
        return cls(
            int(content["size"]),
            int(content["mtime_ns"]),
            str(content["spectra"]),
            str(content["table"]),
        )

    def to_dict(self) -> dict[str, int | str]:
        """As a mapping."""
        return asdict(self)

    @property
    def stat(self) -> Stat:
        """Size and time, which are looked at first."""
        return self.size, self.mtime_ns

    def same_content(self, other: "FileVersion | None") -> bool:
        """Whether another version held the same, whenever it was written."""
        return other is not None and replace(other, size=self.size, mtime_ns=self.mtime_ns) == self


def stat_of(file: SpectraFile) -> Stat | None:
    """Size and time of a file; None where there is none."""
    try:
        stat = file.path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
