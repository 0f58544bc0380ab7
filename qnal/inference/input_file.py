"""A file of the pool on its way through scoring; its spectra are read when they are asked for."""

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qnal.ensemble.combination import is_ok
from qnal.errors import InputError
from qnal.spectra.file_version import FileVersion, Stat, Verify
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi import Coadd, read_coadd
from qnal.spectra.spectra_file import SpectraFile


@dataclass(frozen=True)
class Reading:
    """How files of spectra are read.

    Attributes:
        grid: the grid that spectra are rebinned to.
        use_mask: whether pixels flagged by ``X_MASK`` are ignored.
        sky: whether sky fibres are scored.
        verify: how it is found out whether a file has changed.
    """

    grid: Grid
    use_mask: bool = True
    sky: bool = True
    verify: Verify = Verify.stat


class UnreadableError(InputError):
    """A file of the pool cannot be read."""


class ChangedError(Exception):
    """The content of a file is not what its size and time promised."""


class InputFile:
    """A file of the pool, whose spectra are read when they are asked for.

    Args:
        reading: how it is read.
        file: the file.
        believed: its version as far as size and time tell; None: it is read to find out.
        stat: its size and time before it is read.
    """

    def __init__(
        self,
        reading: Reading,
        file: SpectraFile,
        believed: FileVersion | None,
        stat: Stat | None = None,
    ) -> None:
        self.reading, self.file, self.believed, self.stat = reading, file, believed, stat
        self.bmus: pa.Table | None = None

    @property
    def is_read(self) -> bool:
        """Whether the spectra have been read."""
        return "coadd" in vars(self)

    @cached_property
    def version(self) -> FileVersion:
        """The version of the file; it is read if its version is not known."""
        if self.believed is not None:
            return self.believed
        coadd = self.coadd
        return FileVersion.of(self.stat or (0, 0), coadd)

    @property
    def usable(self) -> int:
        """Number of rows whose STATUS is ok."""
        return int(is_ok(self.coadd.table).sum())

    @property
    def x(self) -> np.ndarray:
        """Renormalised spectra of the usable rows, shape [rows, npix]."""
        return self.coadd.x[is_ok(self.coadd.table)]

    @cached_property
    def coadd(self) -> Coadd:
        """The spectra and the target table.

        Raises:
            UnreadableError: the file is broken.
            ChangedError: its content is not that of ``believed``.
        """
        try:
            coadd = read_coadd(self.file, self.reading.grid, self.reading.use_mask)
        except InputError as error:
            raise UnreadableError(str(error)) from error
        if not self.reading.sky:
            coadd = _without_sky(coadd)
        believed = self.believed
        if believed is not None and FileVersion.of(believed.stat, coadd) != believed:
            raise ChangedError
        return coadd


def _without_sky(coadd: Coadd) -> Coadd:
    sky = pc.or_(
        pc.fill_null(pc.equal(coadd.table["OBJTYPE"], "SKY"), False),
        pc.less(coadd.table["TARGETID"], 0),
    )
    keep = ~np.asarray(sky)
    digest = sha256(coadd.digest.encode() + keep.tobytes()).hexdigest()
    return replace(coadd, x=coadd.x[keep], table=coadd.table.filter(pa.array(keep)), digest=digest)
