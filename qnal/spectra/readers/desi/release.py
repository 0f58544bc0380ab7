"""Where the coadds of a DESI data release are.

Below the root of spectroscopic productions (``spectro/redux``):

.. code-block:: text

    PRODUCTION/healpix/SURVEY/PROGRAM/PIXEL//100/PIXEL/coadd-SURVEY-PROGRAM-PIXEL.fits
    PRODUCTION/spectra/SURVEY/PROGRAM/UPIX//100/UPIX/…      newest productions
    PRODUCTION/tiles/cumulative/TILE/NIGHT/coadd-PETAL-TILE-thruNIGHT.fits

Redrock's files lie beside them. Source: https://desidatamodel.readthedocs.io
"""

from collections.abc import Sequence
from pathlib import Path

from qnal.errors import ConfigError, InputError

NSIDE = 64  # of DESI's pixels, nested
# Newest productions number pixels by UPIX = pixel + 4·nside², which states nside as well.
UPIX = 4 * NSIDE**2


def release_folders(
    root: Path,
    production: str,
    survey: str,
    program: str,
    tiles: Sequence[int] | None = None,
    pixels: Sequence[int] | None = None,
) -> list[Path]:
    """Folders of coadds of a release.

    Args:
        root: folder of the productions.
        production: its name, such as ``fuji`` (the early data release) or ``iron`` (DR1).
        survey: ``cmx``, ``sv1``, ``sv2``, ``sv3``, ``special`` or ``main``; for pixels.
        program: ``dark``, ``bright``, ``backup`` or ``other``; for pixels.
        tiles: coadds of these tiles, up to their last night, instead of pixels.
        pixels: coadds of these pixels, nested with nside 64; None: all of the survey and program.

    Raises:
        ConfigError: tiles and pixels are given.
        InputError: something of it does not exist.
    """
    where = root / production
    if not where.is_dir():
        raise InputError(f"{where}: there is no such production.")
    if tiles is not None:
        if pixels is not None:
            raise ConfigError("data.release takes tiles or pixels, not both.")
        return [_last_night(where / "tiles" / "cumulative" / str(tile)) for tile in tiles]
    for name, first in (("healpix", 0), ("spectra", UPIX)):
        tree = where / name / survey / program
        if tree.is_dir():
            return [tree] if pixels is None else [_pixel(tree, p, first) for p in pixels]
    raise InputError(
        f"{where}: it has neither healpix/{survey}/{program} nor spectra/{survey}/{program}."
    )


def _last_night(tile: Path) -> Path:
    """The folder of a tile's last night, whose coadds hold all nights before as well."""
    nights = sorted(p for p in tile.glob("*") if p.is_dir() and p.name.isdigit())
    if not nights:
        raise InputError(f"{tile}: there is no such tile, or it has no nights.")
    return nights[-1]


def _pixel(tree: Path, pixel: int, first: int) -> Path:
    number = pixel + first
    folder = tree / str(number // 100) / str(number)
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such pixel.")
    return folder
