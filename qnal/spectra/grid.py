"""Wavelength grids to which spectra are rebinned for the networks."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError

LOG_START, LOG_STEP, LOG_PIXELS = np.log10(3600.0), 1e-3, 443
LINEAR_START, LINEAR_STOP, LINEAR_STEP = 3600.0, 9824.8, 13.6


@dataclass(frozen=True, eq=False)
class Grid:
    """Bins of constant width in wavelength or in its logarithm.

    Attributes:
        name: ``log``, ``linear``, or ``custom`` for another grid of a weight file.
        wave: lower edges of the bins, shape [npix], Å.
        logarithmic: whether the bins have constant width in log10(wavelength).
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
        """The bin of each wavelength; −1 outside the grid.

        As ``utils.regrid`` of QuasarNP. Positions on a linear grid are rounded to 1e-10 of a bin,
        because its edges coincide with DESI pixels.

        Args:
            wave: wavelengths, shape [n], Å.

        Returns:
            Shape [n].
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
        """Fractional index of wavelengths (Å), linearly interpolated; inverts :meth:`wavelength`.

        Outside the grid the result is NaN, or linearly extrapolated.
        """
        if extrapolate:
            index = np.clip(np.searchsorted(self.wave, wave, "right") - 1, 0, len(self) - 2)
            return index + (wave - self.wave[index]) / (self.wave[index + 1] - self.wave[index])
        return np.interp(wave, self.wave, np.arange(len(self)), left=np.nan, right=np.nan)

    def wavelength(self, position: NDArray[np.floating], clamp: bool = False) -> NDArray:
        """Wavelength (Å) at fractional indices, linearly interpolated.

        Outside the grid the result is extrapolated, as in QuasarNET, or clamped, as in QuasarNP.
        """
        index = np.clip(np.floor(position), 0, len(self) - 2).astype(np.int64)
        wave = self.wave[index] + (position - index) * (self.wave[index + 1] - self.wave[index])
        return np.clip(wave, self.wave[0], self.wave[-1]) if clamp else wave


@cache
def named_grid(name: str) -> Grid:
    """The grid called ``log`` (443 bins) or ``linear`` (458 bins).

    Raises:
        ConfigError: there is no grid of that name.
    """
    if name == "log":
        wave = 10 ** (LOG_START + LOG_STEP * np.arange(LOG_PIXELS))
        return Grid("log", wave, logarithmic=True)
    if name == "linear":
        wave = np.round(np.arange(LINEAR_START, LINEAR_STOP, LINEAR_STEP), 1)
        return Grid("linear", wave, logarithmic=False)
    raise ConfigError(f"grid={name} is not a wavelength grid; valid values: log, linear.")


def grid_of(wave: NDArray[np.floating]) -> Grid:
    """The grid with these lower edges (Å): ``log`` or ``linear`` if they agree, else ``custom``.

    Raises:
        InputError: the edges have no constant step.
    """
    for name in ("log", "linear"):
        known = named_grid(name)
        if len(known) == len(wave) and np.allclose(known.wave, wave, rtol=1e-9):
            return known
    steps, log_steps = np.diff(wave), np.diff(np.log10(wave))
    if len(wave) < 2 or not (np.allclose(steps, steps[0]) or np.allclose(log_steps, log_steps[0])):
        raise InputError("The wavelength grid has no constant step in Å or in log10(Å).")
    return Grid("custom", np.asarray(wave, np.float64), not np.allclose(steps, steps[0]))
