"""Spectra of selected targets at native resolution, read again from their files."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.inspection.selected import Row
from qnal.spectra.readers.reader import Arm, Reader
from qnal.spectra.spectra_file import SpectraFile


@dataclass(frozen=True, eq=False)
class CameraSpectrum:
    """One spectrum of one camera.

    Attributes:
        camera: its name, such as B.
        wave: wavelengths, Å, shape [n].
        flux: in 1e-17 erg/s/cm²/Å, NaN where the pixel has no data, shape [n].
        noise: standard deviation of the flux, NaN where the pixel has no data, shape [n].
    """

    camera: str
    wave: NDArray[np.float64]
    flux: NDArray[np.floating]
    noise: NDArray[np.floating]


def read_spectra(
    rows: Sequence[Row], folder: Path, reader: Reader
) -> Iterator[tuple[int, list[CameraSpectrum] | InputError]]:
    """Read the spectra of a selection, file by file.

    Args:
        rows: of the selection.
        folder: the folder that FILE is relative to.
        reader: of the files.

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
            wanted = [rows[place] for place in places[name]]
            pixels = reader.pixels(
                SpectraFile(name, folder / name),
                [row["ROW"] for row in wanted],
                [row["TARGETID"] for row in wanted],
            )
            for place, arms in zip(places[name], pixels, strict=True):
                found[place] = [_spectrum(*arm) for arm in arms]
        except InputError as raised:
            error = raised
        for place in places[name]:
            yield place, found.get(place, error)


def _spectrum(arm: Arm, flux: NDArray, ivar: NDArray) -> CameraSpectrum:
    good = ivar > 0
    noise = np.full(len(good), np.nan)
    noise[good] = 1 / np.sqrt(ivar[good])
    return CameraSpectrum(arm.name, arm.wave, np.where(good, flux, np.nan), noise)
