"""The reader of DESI's files, the default reader."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qnal.spectra.fits import open_fits
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi.camera import CAMERAS, Camera
from qnal.spectra.readers.desi.fibermap import read_fibermap
from qnal.spectra.readers.desi.file_names import PREFIX
from qnal.spectra.readers.desi.target_bits import TARGET_BITS
from qnal.spectra.readers.reader import OpenSpectra, Reader, Spectra
from qnal.spectra.spectra_file import SpectraFile, find_files


@dataclass(frozen=True)
class Desi(Reader):
    """Reads DESI coadds, or files of single exposures, gzipped or not.

    Args:
        use_mask: ignore pixels whose ``X_MASK`` is not 0 (QuasarNP does not read the mask).
        prefix: how the names of the files begin: ``coadd-``, or ``spectra-`` for files with one
            spectrum per exposure.
    """

    use_mask: bool = True
    prefix: str = PREFIX
    arms = CAMERAS
    bits = TARGET_BITS

    def find(self, paths: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
        """See :meth:`Reader.find`."""
        return find_files(paths, key, self.prefix)

    @contextmanager
    def open(self, file: SpectraFile) -> Iterator[OpenSpectra]:
        """See :meth:`Reader.open`; a file without FIBERMAP or a camera is refused."""
        with open_fits(file.path) as fits:
            targetid, columns, targeting = read_fibermap(fits, file, self.prefix != PREFIX)
            cameras = [Camera(fits, name, len(targetid), self.use_mask) for name in CAMERAS]
            yield OpenSpectra(columns | {"TARGETID": targetid}, cameras, targeting)

    def key(self) -> dict[str, Any]:
        """As results were named when this was the only reader."""
        settings = {} if self.use_mask else {"use_mask": False}
        return settings if self.prefix == PREFIX else settings | {"prefix": self.prefix}

    def metadata(self) -> dict[str, Any]:
        """Nothing, as before there were other readers: no list of arms means B, R and Z."""
        return {}


def read_coadd(file: SpectraFile, grid: Grid, use_mask: bool = True) -> Spectra:
    """Read a coadd file (:meth:`Reader.read` of :class:`Desi`)."""
    return Desi(use_mask).read(file, grid)
