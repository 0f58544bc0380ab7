"""Names of DESI coadd files: finding them, and the tile, exposure or pixel that they state."""

import re
from collections.abc import Sequence
from pathlib import Path

from qnal.spectra.spectra_file import SpectraFile, find_files

PREFIX = "coadd-"
# File names in the trees tiles/perexp, tiles/cumulative, tiles/pernight and healpix.
_NAMES = [
    re.compile(r"(?:coadd|spectra)-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-exp(?P<EXPID>\d+)$"),
    re.compile(r"(?:coadd|spectra)-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-thru(?P<NIGHT>\d{8})$"),
    re.compile(r"(?:coadd|spectra)-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-(?P<NIGHT>2\d{7})$"),
    # Older perexp trees have no "exp" before the exposure number.
    re.compile(r"(?:coadd|spectra)-(?P<PETAL_LOC>\d+)-(?P<TILEID>\d+)-(?P<EXPID>0\d{7})$"),
    re.compile(
        r"(?:coadd|spectra)-(?P<SURVEY>[a-z][a-z0-9]*)-(?P<PROGRAM>[a-z][a-z0-9]*)-"
        r"(?P<HPXPIXEL>\d+)$"
    ),
]


def find_coadds(value: str | Sequence[str] | None, key: str) -> list[SpectraFile]:
    """Every ``coadd-*.fits`` and ``coadd-*.fits.gz`` below the given folders, and given files.

    Args:
        value: a path, a glob, or a list of these; a file given itself may have any name.
        key: what the value is called in error messages, such as ``data.pool``.

    Raises:
        InputError: nothing was given, or nothing was found.
    """
    return find_files(value, key, PREFIX)


def fields_of_name(path: Path) -> dict[str, int | str]:
    """TILEID, EXPID, NIGHT, PETAL_LOC, HPXPIXEL, SURVEY and PROGRAM, as far as the name has them.

    Empty for a file that is not named as DESI names coadds.
    """
    stem = path.name.removesuffix(".gz").removesuffix(".fits")
    for pattern in _NAMES:
        if found := pattern.match(stem):
            return {k: int(v) if v.isdigit() else v for k, v in found.groupdict().items()}
    return {}
