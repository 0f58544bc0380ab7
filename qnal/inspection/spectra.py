"""Spectra of selected targets at native resolution, read again from their files."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.inspection.selected import Row
from qnal.spectra.fits import integers, open_fits
from qnal.spectra.readers.desi.camera import CAMERAS, Camera


@dataclass(frozen=True, eq=False)
class CameraSpectrum:
    """One spectrum of one camera.

    Attributes:
        camera: its name, B, R or Z.
        wave: wavelengths, Å, shape [n].
        flux: in 1e-17 erg/s/cm²/Å, NaN where the pixel has no data, shape [n].
        noise: standard deviation of the flux, NaN where the pixel has no data, shape [n].
    """

    camera: str
    wave: NDArray[np.float64]
    flux: NDArray[np.floating]
    noise: NDArray[np.floating]


def read_spectra(
    rows: Sequence[Row], folder: Path, use_mask: bool
) -> Iterator[tuple[int, list[CameraSpectrum] | InputError]]:
    """Read the spectra of a selection, file by file.

    Args:
        rows: of the selection.
        folder: the folder that FILE is relative to.
        use_mask: treat masked pixels as pixels without data.

    Yields:
        The place in ``rows`` and the spectrum, one item per camera, or why it cannot be read.
    """
    places = defaultdict(list)
    for place, row in enumerate(rows):
        places[row["FILE"]].append(place)
    for name in sorted(places):
        found: dict[int, list[CameraSpectrum]] = {}
        error = InputError(f"{folder / name}: it cannot be read.")
        try:
            for place, spectrum in _read_file(
                folder / name, {place: rows[place] for place in places[name]}, use_mask
            ):
                found[place] = spectrum
        except InputError as raised:
            error = raised
        for place in places[name]:
            yield place, found.get(place, error)


def _read_file(
    path: Path, wanted: dict[int, Row], use_mask: bool
) -> Iterator[tuple[int, list[CameraSpectrum]]]:
    with open_fits(path) as fits:
        targetid = integers(fits.table("FIBERMAP", ["TARGETID"])["TARGETID"], "TARGETID", path)
        cameras = {name: Camera(fits, name, len(targetid), use_mask) for name in CAMERAS}
        for place, row in wanted.items():
            index = row["ROW"]
            if not 0 <= index < len(targetid) or targetid[index] != row["TARGETID"]:
                raise InputError(
                    f"{path}: row {index} is not target {row['TARGETID']}; the file has changed "
                    "since it was scored, so run stage=infer and stage=query again."
                )
            yield place, [_spectrum(name, camera, index) for name, camera in cameras.items()]


def _spectrum(name: str, camera: Camera, row: int) -> CameraSpectrum:
    flux, ivar, mask = camera.rows(row, row + 1)
    good = (ivar[0] > 0) & np.isfinite(ivar[0]) & np.isfinite(flux[0])
    if mask is not None:
        good &= mask[0] == 0
    noise = np.full(len(good), np.nan)
    noise[good] = 1 / np.sqrt(ivar[0][good])
    return CameraSpectrum(name, camera.wave, np.where(good, flux[0], np.nan), noise)
