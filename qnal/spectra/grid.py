"""The wavelength grids on which the networks see spectra."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError

LOG_START, LOG_STEP, LOG_PIXELS = np.log10(3600.0), 1e-3, 443
LINEAR_START, LINEAR_STOP, LINEAR_STEP = 3600.0, 9824.8, 13.6


@dataclass(frozen=True, eq=False)
class Grid:
    """Bins of constant width in log10(wavelength) or in wavelength.

    Attributes:
        name: ``log``, ``linear``, or ``custom`` for one read from a weight file.
        wave: lower edges of the bins, shape [npix], Å.
        logarithmic: whether the bins are of constant width in log10(wavelength).
    """

    name: str
    wave: NDArray[np.float64]
    logarithmic: bool

    def __len__(self) -> int:
        return len(self.wave)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[str, bool, bytes]:
        return self.name, self.logarithmic, self.wave.tobytes()

    def bins(self, wave: NDArray[np.floating]) -> NDArray[np.int64]:
        """The bin of each native wavelength, −1 where it lies outside the grid.

        Args:
            wave: native wavelengths, shape [n], Å.

        Source: QuasarNP ``utils.regrid``; linear positions are rounded to 1e-10 of a bin because
        its edges coincide with native DESI pixels.
        """
        if self.logarithmic:
            edges = np.log10(self.wave)
            position = (np.log10(wave) - edges[0]) / (edges[1] - edges[0])
        else:
            position = np.round((wave - self.wave[0]) / (self.wave[1] - self.wave[0]), 10)
        bins = np.floor(position).astype(np.int64)
        return np.where((bins >= 0) & (bins < len(self)), bins, -1)

    def position(
        self, wave: NDArray[np.floating], extrapolate: bool = False
    ) -> NDArray[np.float64]:
        """Fractional index of wavelengths (Å), linearly interpolated.

        Outside the grid it is NaN, or extrapolated as :meth:`wavelength` does.
        """
        if extrapolate:
            index = np.clip(np.searchsorted(self.wave, wave, "right") - 1, 0, len(self) - 2)
            return index + (wave - self.wave[index]) / (self.wave[index + 1] - self.wave[index])
        return np.interp(wave, self.wave, np.arange(len(self)), left=np.nan, right=np.nan)

    def wavelength(self, position: NDArray[np.floating], clamp: bool = False) -> NDArray:
        """Wavelength (Å) at fractional indices, linearly interpolated.

        Beyond either end it is extrapolated as QuasarNET does, or clamped as QuasarNP does.
        """
        index = np.clip(np.floor(position), 0, len(self) - 2).astype(np.int64)
        wave = self.wave[index] + (position - index) * (self.wave[index + 1] - self.wave[index])
        return np.clip(wave, self.wave[0], self.wave[-1]) if clamp else wave


@cache
def named_grid(name: str) -> Grid:
    """The grid called ``log`` (443 bins) or ``linear`` (458 bins)."""
    if name == "log":
        wave = 10 ** (LOG_START + LOG_STEP * np.arange(LOG_PIXELS))
        return Grid("log", wave, logarithmic=True)
    if name == "linear":
        wave = np.round(np.arange(LINEAR_START, LINEAR_STOP, LINEAR_STEP), 1)
        return Grid("linear", wave, logarithmic=False)
    raise ConfigError(f"network.grid={name} is no wavelength grid; valid ones: log, linear.")


def grid_of(wave: NDArray[np.floating]) -> Grid:
    """The grid that has these lower edges (Å); the named one where they agree."""
    for name in ("log", "linear"):
        known = named_grid(name)
        if len(known) == len(wave) and np.allclose(known.wave, wave, rtol=1e-9):
            return known
    steps, log_steps = np.diff(wave), np.diff(np.log10(wave))
    if len(wave) < 2 or not (np.allclose(steps, steps[0]) or np.allclose(log_steps, log_steps[0])):
        raise InputError("The wavelength grid has no constant step, in Å or in log10(Å).")
    return Grid("custom", np.asarray(wave, np.float64), not np.allclose(steps, steps[0]))
