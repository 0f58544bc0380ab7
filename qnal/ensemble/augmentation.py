"""Augmentation: further versions of labelled spectra, changed as observations differ.

The versions are made before training. In each epoch, every spectrum of a sample is one of its
versions, drawn at random; the first version is the spectrum itself. Mock spectra of a prior have
versions, too. Out-of-bag predictions are for the spectra themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.labelled_set import LabelledSet
from qnal.spectra.grid import Grid
from qnal.spectra.rebin import renormalise_rebinned

# Bump this number when the same settings give other spectra.
VERSION = 1
REDSHIFT_SHIFT = 0.05  # largest shift in ln(1+z)
GAP_SHARE = 0.1  # share of the versions in which a third of the grid has no data
CALIBRATION = 0.05  # rms of each of the smooth modes of calibration errors
SKY_RESIDUAL = 0.5  # rms of the residual of sky lines, relative to the noise that they add
MOST_NOISE = 10.0  # largest factor by which the noise of a spectrum is raised
SMOOTH = 15  # bins over which the noise between sky lines is estimated


class Augmentation(StrEnum):
    """A way in which versions differ from the spectrum.

    ``redshift``: shifted by up to 5 % in 1+z, whatever its class; the redshift moves along, and
    what enters at the edges has no data. ``noise``: noise added to reach the signal-to-noise of a
    labelled spectrum that is drawn at random, where that is lower. ``calibration``: multiplied by
    a smooth function of wavelength. ``sky``: residuals of sky lines, where lines raise the noise.
    ``gap``: a third of the wavelength range without data, as without a camera.
    """

    redshift = "redshift"
    calibration = "calibration"
    sky = "sky"
    noise = "noise"
    gap = "gap"


@dataclass(frozen=True)
class Augment:
    """The augmentation of an ensemble.

    Attributes:
        kinds: ways in which versions differ; empty for no augmentation.
        versions: number of versions of each spectrum, itself included.
    """

    kinds: frozenset[Augmentation] = frozenset()
    versions: int = 8

    def identity(self) -> dict[str, object] | None:
        """What the fingerprint of an ensemble depends on; None without augmentation."""
        return self.settings() | {"version": VERSION} if self.number > 1 else None

    def settings(self) -> dict[str, object]:
        """The augmentation by its configuration keys; none without."""
        if self.number == 1:
            return {}
        return {"augment": sorted(self.kinds), "augment_versions": self.versions}

    @property
    def number(self) -> int:
        """Number of versions; 1 without augmentation."""
        return self.versions if self.kinds else 1


@dataclass
class Pixels:
    """Spectra on a grid while a version of them is made; all arrays are changed in place.

    Attributes:
        flux, ivar: shape [rows, npix].
        z: redshift, shape [rows].
        snr: median signal-to-noise per pixel, shape [rows].
        wanted: signal-to-noise of the labelled spectra, any shape.
    """

    flux: NDArray[np.float32]
    ivar: NDArray[np.float32]
    z: NDArray[np.float64]
    snr: NDArray[np.float32]
    wanted: NDArray[np.float32]


def with_versions(
    spectra: LabelledSet, labelled: int, augment: Augment, grid: Grid, seed: int
) -> LabelledSet:
    """All versions of spectra: version v of row r is row ``v · len(spectra) + r``.

    Args:
        spectra: the labelled set, followed by spectra of a prior.
        labelled: number of rows of the labelled set.
        augment: how versions differ.
        grid: wavelength grid of the spectra.
        seed: seed of the ensemble.

    Raises:
        ValueError: the set does not have flux and ivar.
    """
    if augment.number == 1:
        return spectra
    if spectra.rebinned is None:
        raise ValueError("the labelled set has no flux and ivar, which augmentation needs.")
    rng = np.random.default_rng(np.random.SeedSequence([seed, VERSION]))
    original = np.asarray(spectra.x, np.float32)
    snr = spectra.column("SNR").astype(np.float32)
    seen = snr[:labelled]
    wanted = seen[np.isfinite(seen) & (seen > 0)]
    x, tables = [original], [spectra.table]
    for _ in range(1, augment.number):
        flux, ivar = np.array(spectra.rebinned).transpose(1, 0, 2)
        pixels = Pixels(flux, ivar, spectra.column("Z").astype(np.float64), snr, wanted)
        for kind, change in CHANGES.items():
            if kind in augment.kinds:
                change(pixels, grid, rng)
        version = renormalise_rebinned(np.stack([pixels.flux, pixels.ivar], axis=1))
        # A spectrum of which a version has no data left stays as it is.
        usable = np.asarray(np.isfinite(version).all(axis=1))
        x.append(np.where(usable[:, None], version, original))
        z = np.where(usable, pixels.z, spectra.column("Z"))
        tables.append(spectra.table.assign(Z=z))
    return LabelledSet(np.concatenate(x), pd.concat(tables, ignore_index=True))


def _shift_redshift(pixels: Pixels, grid: Grid, rng: np.random.Generator) -> None:
    """Move spectra along the grid; on a logarithmic one by whole bins, so that none is blended."""
    bins = np.arange(len(grid))
    shift = rng.uniform(-REDSHIFT_SHIFT, REDSHIFT_SHIFT, len(pixels.z))
    if grid.logarithmic:
        step = np.log(grid.wave[1] / grid.wave[0])
        shift = np.round(shift / step) * step
    centre = grid.wavelength(bins + 0.5)
    source = grid.position(centre * np.exp(-shift)[:, None], extrapolate=True)
    index = np.floor(source + 1e-6).astype(int)
    inside = (index >= 0) & (index < len(grid))
    index = np.clip(index, 0, len(grid) - 1)
    pixels.flux[:] = np.where(inside, np.take_along_axis(pixels.flux, index, axis=1), 0)
    pixels.ivar[:] = np.where(inside, np.take_along_axis(pixels.ivar, index, axis=1), 0)
    pixels.z[:] = (1 + pixels.z) * np.exp(shift) - 1


def _miscalibrate(pixels: Pixels, grid: Grid, rng: np.random.Generator) -> None:
    """Multiply by a smooth function: the first cosines over the grid, in the logarithm."""
    place = (np.arange(len(grid)) + 0.5) / len(grid)
    modes = np.cos(np.pi * np.outer([1, 2, 3], place))
    amplitude = CALIBRATION * rng.normal(size=(len(pixels.z), len(modes)))
    gain = np.exp(amplitude @ modes).astype(np.float32)
    pixels.flux *= gain
    pixels.ivar /= gain**2


def _add_sky(pixels: Pixels, grid: Grid, rng: np.random.Generator) -> None:
    """Add residuals with the shape of the noise above that between sky lines."""
    sigma = _sigma(pixels)
    blocks = np.array_split(np.arange(len(grid)), len(grid) // SMOOTH)
    between = np.concatenate(
        [np.broadcast_to(sigma[:, b].min(axis=1)[:, None], (len(sigma), len(b))) for b in blocks],
        axis=1,
    )
    amplitude = SKY_RESIDUAL * rng.standard_normal((len(sigma), 1), np.float32)
    pixels.flux += amplitude * (sigma - between)


def _add_noise(pixels: Pixels, grid: Grid, rng: np.random.Generator) -> None:
    """Add noise to spectra with a higher signal-to-noise than one that is drawn for each."""
    if not len(pixels.wanted):
        return
    drawn = rng.choice(pixels.wanted, len(pixels.z))
    with np.errstate(invalid="ignore"):
        factor = np.clip(np.nan_to_num(pixels.snr / drawn, nan=1), 1, MOST_NOISE)[:, None]
    extra = np.sqrt(factor**2 - 1) * _sigma(pixels)
    pixels.flux += (extra * rng.standard_normal(extra.shape, np.float32)).astype(np.float32)
    pixels.ivar /= (factor**2).astype(np.float32)


def _remove_third(pixels: Pixels, grid: Grid, rng: np.random.Generator) -> None:
    """Leave some spectra without data in a third of the grid."""
    third = np.where(rng.random(len(pixels.z)) < GAP_SHARE, rng.integers(3, size=len(pixels.z)), -1)
    gone = third[:, None] == np.arange(len(grid)) * 3 // len(grid)
    pixels.flux[gone] = 0
    pixels.ivar[gone] = 0


def _sigma(pixels: Pixels) -> NDArray[np.float32]:
    """Noise per bin; 0 without data."""
    with np.errstate(divide="ignore"):
        sigma = (1 / np.sqrt(pixels.ivar)).astype(np.float32)
    sigma[pixels.ivar == 0] = 0
    return sigma


# In the order in which they are applied: as in an observation, noise is added to sky residuals.
CHANGES: dict[Augmentation, Callable[[Pixels, Grid, np.random.Generator], None]] = {
    Augmentation.redshift: _shift_redshift,
    Augmentation.calibration: _miscalibrate,
    Augmentation.sky: _add_sky,
    Augmentation.noise: _add_noise,
    Augmentation.gap: _remove_third,
}
