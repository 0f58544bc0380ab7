"""Simulated observation of model spectra: camera pixels, noise and defects."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.model_grid import F4, F8, PIXELS, START, STEP, WAVE
from qnal.spectra.mock.shift import noise_shape, smooth_errors
from qnal.spectra.mock.sky import line_profile, residual_modes

CHUNK = 64  # rows at once, so that intermediate arrays stay in the processor's cache
SKY_LEVEL = 6.0  # object flux that doubles the variance (photon noise), 1e-17 erg/s/cm²/Å
DESI_PIXELS = 2751 + 2326 + 2881  # in three cameras
COSMIC = 1 << 2  # specmask.COSMIC of desispec

# Noise per pixel in one exposure: wavelength (Å), sigma (1e-17 erg/s/cm²/Å). The shape follows
# public DESI and BOSS spectra: steep in the far blue, at the dichroics and at the red end.
NOISE = {
    "B": (
        *((3600, 3.4), (3650, 2.4), (3750, 1.6), (3900, 1.0), (4230, 0.66), (4540, 0.58)),
        *((5000, 0.53), (5500, 0.52), (5700, 0.54), (5760, 0.6), (5800, 0.9)),
    ),
    "R": (
        *((5760, 3.0), (5780, 1.3), (5820, 0.6), (6020, 0.40), (6300, 0.32), (6800, 0.27)),
        *((7200, 0.25), (7450, 0.27), (7550, 0.45), (7620, 1.2)),
    ),
    "Z": (
        *((7520, 0.9), (7570, 0.45), (7700, 0.30), (8200, 0.24), (8800, 0.24), (9300, 0.28)),
        *((9600, 0.33), (9824, 0.5)),
    ),
    "BOSS": (
        *((3589, 2.3), (3673, 1.87), (3900, 0.9), (4123, 0.6), (4628, 0.4), (5195, 0.32)),
        *((5832, 0.36), (6100, 0.3), (6548, 0.24), (7350, 0.21), (8251, 0.2), (9262, 0.22)),
        *((9900, 0.4), (10_372, 1.6)),
    ),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Camera:
    """One arm of a spectrograph.

    Attributes:
        name: B, R or Z of DESI, or BOSS.
        wave: pixel centres, shape [npix], Å.
        variance: of sky and detector in one exposure, shape [npix].
        residual: modes of sky subtraction error, shape [3, npix].
        pixel, fraction: position of ``wave`` on the model grid, for linear interpolation.
    """

    name: str
    wave: F8
    variance: F4
    residual: F4
    pixel: NDArray[np.int64]
    fraction: F4


def _noise(name: str, wave: F8, shifted: float) -> F8:
    where, sigma = np.array(NOISE[name], float).T
    usual = np.exp(np.interp(wave, where, np.log(sigma)))
    return np.asarray(usual * noise_shape(wave, shifted))


@cache
def camera(name: str, shifted: float = 0.0) -> Camera:
    """The camera called B, R or Z (DESI, 0.8 Å per pixel) or BOSS (1e-4 in log10, 4600 pixels).

    Args:
        name: name of the camera.
        shifted: shift of the survey, which changes the noise.
    """
    if name == "BOSS":
        wave: F8 = 10 ** (3.555 + 1e-4 * np.arange(4600, dtype=np.float64))
    else:
        first, npix = {"B": (3600, 2751), "R": (5760, 2326), "Z": (7520, 2881)}[name]
        wave = np.round(first + 0.8 * np.arange(npix), 1)
    sigma = _noise(name, wave, shifted)
    position = (np.log(wave) - START) / STEP
    pixel = np.minimum(position.astype(np.int64), PIXELS - 2)
    return Camera(
        name,
        wave,
        (sigma**2 * (1 + 6 * line_profile(wave))).astype(np.float32),
        residual_modes(wave, sigma).astype(np.float32),
        pixel,
        (position - pixel).astype(np.float32),
    )


@cache
def reference_noise(shifted: float = 0.0) -> F4:
    """Typical DESI noise at every eighth pixel of the model grid."""
    wave = WAVE[::8]
    best = np.where(wave < 5785, _noise("B", wave, shifted), _noise("R", wave, shifted))
    return np.where(wave < 7560, best, _noise("Z", wave, shifted)).astype(np.float32)


def signal_to_noise(flux: F4, shifted: float = 0.0) -> tuple[F8, F8]:
    """Median and maximum signal-to-noise per DESI pixel of noiseless spectra, shape [n]."""
    ratio = flux[:, ::8] / reference_noise(shifted)
    return np.median(ratio, axis=1).astype(np.float64), ratio.max(axis=1).astype(np.float64)


@dataclass(frozen=True)
class Frame:
    """Observed spectra of one camera, shape [n, npix]; flux in 1e-17 erg/s/cm²/Å."""

    flux: F4
    ivar: F4
    mask: NDArray[np.int32]


def expose(
    rng: np.random.Generator, cam: Camera, signal: F4, noise: F8, config: MockConfig
) -> Frame:
    """Observe noiseless spectra with one camera.

    The inverse variance describes the Gaussian noise of sky, detector and object; calibration
    errors, sky residuals and cosmic rays are not included in it, as in real data. Flagged cosmic
    rays have a non-zero mask and keep their ivar, as in a coadd of one exposure by desispec.

    Args:
        rng: generator of this camera and exposure.
        cam: the camera.
        signal: shape [n, PIXELS], 1e-17 erg/s/cm²/Å; zero for a sky fibre.
        noise: noise of each row relative to the camera's typical one, shape [n].
        config: strengths of the defects.
    """
    n, npix = len(signal), len(cam.wave)
    flux = rng.standard_normal((n, npix), np.float32)
    ivar = np.empty((n, npix), np.float32)
    mask = np.zeros((n, npix), np.int32)
    gain = (1 + config.calibration * rng.normal(size=n))[:, None]
    if config.shift:
        gain = gain * smooth_errors(rng, n, cam.wave, config.shift)
    gain = gain.astype(np.float32)
    residual = (config.sky_residual * rng.normal(size=(n, 3))).astype(np.float32)
    scale = (noise**2).astype(np.float32)
    for start in range(0, n, CHUNK):
        rows = slice(start, start + CHUNK)
        left = signal[rows].take(cam.pixel, axis=1)
        right = signal[rows].take(cam.pixel + 1, axis=1)
        right -= left
        right *= cam.fraction
        left += right
        np.maximum(left, 0, out=right)
        right *= np.float32(1 / SKY_LEVEL)
        right += 1
        right *= cam.variance
        right *= scale[rows, None]
        np.reciprocal(right, out=ivar[rows])
        flux[rows] *= np.sqrt(right, out=right)
        left *= gain[rows]
        flux[rows] += left
        if config.sky_residual:
            flux[rows] += residual[rows] @ cam.residual
    _add_cosmic_rays(rng, flux, ivar, mask, config)
    return Frame(flux, ivar, mask)


def _add_cosmic_rays(
    rng: np.random.Generator, flux: F4, ivar: F4, mask: NDArray[np.int32], config: MockConfig
) -> None:
    """Add cosmic rays of two pixels each, in place; the bright ones are flagged."""
    n, npix = flux.shape
    hits = rng.poisson(config.cosmic_rays * n * npix / DESI_PIXELS)
    row, pixel = rng.integers(0, n, hits), rng.integers(0, npix - 1, hits)
    found = rng.random(hits) < config.cosmics_found
    height = np.where(found, 10 + rng.exponential(60.0, hits), rng.exponential(8.0, hits))
    for offset, part in ((0, 1.0), (1, 0.4)):
        at = pixel + offset
        with np.errstate(divide="ignore"):
            flux[row, at] += (part * height / np.sqrt(ivar[row, at])).astype(np.float32)
        mask[row[found], at[found]] |= COSMIC
