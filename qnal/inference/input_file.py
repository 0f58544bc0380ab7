"""A file of the pool on its way through scoring; its spectra are read when they are asked for."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qnal.ensemble.combination import is_ok
from qnal.errors import InputError
from qnal.spectra.file_version import FileVersion, Stat, Verify
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.reader import Reader, Spectra
from qnal.spectra.spectra_file import SpectraFile


@dataclass(frozen=True)
class Reading:
    """How files of spectra are read.

    Attributes:
        grid: the grid that spectra are rebinned to.
        reader: finds and reads them.
        sky: whether sky fibres are scored.
        verify: how it is found out whether a file has changed.
    """

    grid: Grid
    # Tasks are compared to find the networks that they share, which the reader does not change.
    reader: Reader = field(default_factory=Desi, compare=False)
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
        return "spectra" in vars(self)

    @cached_property
    def version(self) -> FileVersion:
        """The version of the file; it is read if its version is not known."""
        if self.believed is not None:
            return self.believed
        return FileVersion.of(self.stat or (0, 0), self.spectra)

    @property
    def usable(self) -> int:
        """Number of rows whose STATUS is ok."""
        return int(is_ok(self.spectra.table).sum())

    @property
    def x(self) -> np.ndarray:
        """Renormalised spectra of the usable rows, shape [rows, npix]."""
        return self.spectra.x[is_ok(self.spectra.table)]

    @cached_property
    def spectra(self) -> Spectra:
        """The spectra and the target table.

        Raises:
            UnreadableError: the file is broken.
            ChangedError: its content is not that of ``believed``.
        """
        try:
            spectra = self.reading.reader.read(self.file, self.reading.grid)
        except InputError as error:
            raise UnreadableError(str(error)) from error
        if not self.reading.sky:
            spectra = _without_sky(spectra)
        believed = self.believed
        if believed is not None and FileVersion.of(believed.stat, spectra) != believed:
            raise ChangedError
        return spectra


def _without_sky(spectra: Spectra) -> Spectra:
    sky = pc.or_(
        pc.fill_null(pc.equal(spectra.table["OBJTYPE"], "SKY"), False),
        pc.less(spectra.table["TARGETID"], 0),
    )
    keep = ~np.asarray(sky)
    digest = sha256(spectra.digest.encode() + keep.tobytes()).hexdigest()
    table = spectra.table.filter(pa.array(keep))
    return replace(spectra, x=spectra.x[keep], table=table, digest=digest)
