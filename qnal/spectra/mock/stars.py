"""Mock stars: a temperature sequence, white dwarfs, carbon stars and cataclysmic variables."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.mock import shift
from qnal.spectra.mock.model_grid import (
    F4,
    F8,
    LIGHT_SPEED,
    WAVE,
    Templates,
    add_emission,
    rest_grid,
)

BALMER = (6564.6, 4862.7, 4341.7, 4102.9, 3971.2, 3890.2, 3836.5, 3798.9, 3771.7, 3751.2)
CV_WIDTHS = {  # emission lines of cataclysmic variables: equivalent width, Å
    6564.6: 70, 4862.7: 45, 4341.7: 35, 4102.9: 25, 3971.2: 15, 4687.0: 10, 5877.2: 15,
}  # fmt: skip
# Band heads degraded to the red (vacuum, Å), optical depth at 3000 K, scale length (Å)
TIO = (
    *((4761, 0.9, 90), (4955, 1.2, 100), (5167, 1.4, 120), (5448, 1.0, 110), (5847, 1.0, 100)),
    *((6159, 1.2, 120), (6651, 0.9, 90), (7054, 1.8, 160), (7589, 1.0, 90), (7666, 1.0, 90)),
    *((8206, 0.5, 90), (8432, 0.9, 110), (8859, 0.7, 110), (9250, 0.5, 130)),
)
SWAN = ((4737, 1.4, 110), (5165, 1.8, 130), (5636, 1.4, 120), (6191, 0.5, 100))
# Metal lines: wavelength (vacuum, Å), optical depth at 4500 K, Gaussian sigma (Å)
METALS = (
    *((3934.8, 2.2, 7.0), (3969.6, 2.0, 7.0), (4227.9, 0.7, 3.0), (4305.0, 0.7, 11.0)),
    *((4384.8, 0.5, 4.0), (4532.0, 0.35, 10.0), (5176.0, 0.7, 14.0), (5271.0, 0.35, 5.0)),
    *((5330.0, 0.3, 5.0), (5893.6, 0.5, 4.0), (6497.0, 0.2, 5.0)),
    *((8500.4, 0.35, 4.0), (8544.4, 0.6, 4.5), (8664.5, 0.5, 4.5)),
)
TEMPERATURES = np.geomspace(2700.0, 35_000.0, 24)
PECULIAR = ("DA_HOT", "DA_COOL", "DB", "DC", "CARBON")
KINDS = ("M", "K", "G", "F", "A", "B", "WD", "CARBON", "CV")
SHARES = (0.22, 0.19, 0.20, 0.16, 0.07, 0.02, 0.10, 0.01, 0.03)
RANGE = {  # effective temperatures in K
    "M": (2750, 3850), "K": (3850, 5200), "G": (5200, 6000), "F": (6000, 7400),
    "A": (7400, 10_500), "B": (10_500, 30_000), "CV": (11_000, 25_000),
}  # fmt: skip
METAL_PATTERN, TIO_PATTERN, CV_PATTERN = 21, 22, 23  # seeds of the patterns of shifted surveys
HELIUM = (3889.7, 4027.3, 4472.8, 4714.5, 4923.3, 5017.1, 5877.2, 6680.0, 7067.2)


def planck(wave: F8, temperature: float) -> F8:
    """Planck's law per unit wavelength, 1 at 5500 Å; ``wave`` in Å, ``temperature`` in K."""
    x = 1.4388e8 / temperature
    flux: F8 = (5500.0 / wave) ** 5 * np.expm1(x / 5500.0) / np.expm1(x / wave)
    return flux


def _gauss(wave: F8, centre: float, sigma: float) -> F8:
    return np.asarray(np.exp(-0.5 * ((wave - centre) / sigma) ** 2))


def _head(wave: F8, head: float, scale: float, redward: bool = True) -> F8:
    """A molecular band: a sharp edge at its head and an exponential tail."""
    distance = (wave - head) * (1 if redward else -1)
    onset = 1 / (1 + np.exp(-np.maximum(distance, -300) / 3.0))
    return np.asarray(onset * np.exp(-np.clip(distance, 0, None) / scale))


def _step(wave: F8, edge: float, width: float) -> F8:
    return np.asarray(1 / (1 + np.exp(np.minimum((wave - edge) / width, 300))))


def photosphere(wave: F8, temperature: float, shifted: float = 0.0) -> F8:
    """A star's flux per unit wavelength, 1 near 5500 Å, by effective temperature (K).

    A black body with Balmer lines and jump (strongest at 9500 K), metal lines and line blanketing
    below 4000 Å (cool stars) and TiO bands (below 4000 K). The strengths are chosen by eye from
    spectral atlases.
    """
    hydrogen = np.exp(-0.5 * (np.log(temperature / 9500.0) / 0.38) ** 2)
    metals = np.clip((8000.0 - temperature) / 3500.0, 0, 1.25)
    cool = np.clip((4050.0 - temperature) / 1050.0, 0, 1.3)
    depth = np.zeros_like(wave)
    for k, line in enumerate(BALMER):
        depth += hydrogen * 1.1 * 0.9**k * _gauss(wave, line, 12.0 - 0.7 * k)
    depth += hydrogen * 0.9 * _step(wave, 3690.0, 25.0)
    factors = shift.pattern(METAL_PATTERN, shift.ABSORPTION, shifted, len(METALS))
    for (line, strength, sigma), changed in zip(METALS, factors, strict=True):
        depth += metals * strength * changed * _gauss(wave, line, sigma)
    for edge, strength in ((4000.0, 0.35), (3640.0, 0.35), (2900.0, 0.5), (2640.0, 0.5)):
        depth += metals * strength * _step(wave, edge, 14.0)
    factors = shift.pattern(TIO_PATTERN, shift.ABSORPTION, shifted, len(TIO))
    for (head, strength, scale), changed in zip(TIO, factors, strict=True):
        depth += cool * strength * changed * _head(wave, head, scale)
    depth += cool * 0.6 * _gauss(wave, 6830.0, 90.0) + cool * 0.7 * _gauss(wave, 8190.0, 8.0)
    return np.asarray(planck(wave, temperature) * np.exp(-depth))


def _peculiar(wave: F8, kind: str) -> F8:
    depth = np.zeros_like(wave)
    if kind.startswith("DA"):
        width, strength = (34.0, 0.65) if kind == "DA_HOT" else (24.0, 0.75)
        for k, line in enumerate(BALMER[:7]):  # higher lines are merged by pressure broadening
            x = (wave - line) / (width * (1 - 0.06 * k))
            depth += strength * 0.95**k / (1 + x * x) ** 1.2
        return np.asarray(planck(wave, 22_000.0 if kind == "DA_HOT" else 10_500.0) * np.exp(-depth))
    if kind == "DB":
        for line in HELIUM:
            depth += 0.5 * _gauss(wave, line, 18.0)
        return np.asarray(planck(wave, 17_000.0) * np.exp(-depth))
    if kind == "CARBON":
        for head, strength, scale in SWAN:
            depth += strength * _head(wave, head, scale, redward=False)
        depth += 0.8 * _head(wave, 7900.0, 150.0) + 0.7 * _head(wave, 9150.0, 150.0)
        depth += 1.5 * _step(wave, 4300.0, 60.0)
        return np.asarray(planck(wave, 4100.0) * np.exp(-depth))
    return planck(wave, 8500.0)  # DC: no features


@cache
def templates(shifted: float = 0.0) -> Templates:
    """The templates: one per temperature, then those of the peculiar kinds."""
    ln_wave = rest_grid(1300.0)
    wave = np.exp(ln_wave)
    flux = [photosphere(wave, t, shifted) for t in TEMPERATURES]
    flux += [_peculiar(wave, k) for k in PECULIAR]
    return Templates(ln_wave, np.array(flux, np.float32))


def temperature_weights(temperature: F8) -> F8:
    """Weights of the templates for temperatures in K, linear in ln T, shape [n, k]."""
    position = np.interp(np.log(temperature), np.log(TEMPERATURES), np.arange(len(TEMPERATURES)))
    low = np.minimum(position.astype(np.int64), len(TEMPERATURES) - 2)
    weights = np.zeros((len(temperature), len(TEMPERATURES) + len(PECULIAR)))
    rows = np.arange(len(temperature))
    weights[rows, low] = 1 - (position - low)
    weights[rows, low + 1] = position - low
    return weights


@dataclass(frozen=True)
class Stars:
    """Noiseless star spectra: ``flux`` [n, PIXELS] in arbitrary units, radial velocity as ``z``."""

    flux: F4
    z: F8
    kind: NDArray[np.str_]


def draw_stars(rng: np.random.Generator, n: int, shifted: float = 0.0) -> Stars:
    """Draw ``n`` stars: kind, temperature, radial velocity and reddening."""
    kind = rng.choice(np.array(KINDS), n, p=np.array(SHARES) / np.sum(SHARES))
    u = rng.random((n, 3))
    z = rng.normal(0, 120.0, n) / LIGHT_SPEED
    low, high = np.array([RANGE.get(k, (9000, 9000)) for k in kind]).reshape(n, 2).T
    place = u[:, 0] * shift.factor(shift.TEMPERATURES, shifted)
    weights = temperature_weights(low * (high / low) ** place)
    first = len(TEMPERATURES)
    for i in np.flatnonzero(kind == "CARBON"):
        weights[i] = np.eye(weights.shape[1])[first + PECULIAR.index("CARBON")]
    for i in np.flatnonzero(kind == "WD"):
        weights[i] = 0
        if u[i, 0] < 0.75:  # DAs between the hot and the cool template
            weights[i, first : first + 2] = u[i, 1], 1 - u[i, 1]
        else:
            weights[i, first + (2 if u[i, 0] < 0.88 else 3)] = 1
    flux = templates(shifted).observed(weights, z)
    dust = rng.exponential(0.06, n) * shift.factor(shift.REDDENING, shifted)
    reddening = (dust[:, None] * (5500.0 / WAVE) ** 1.3).astype(np.float32)
    flux *= np.exp(-reddening)
    cv = np.flatnonzero(kind == "CV")
    if len(cv):
        part = flux[cv]
        continuum = part.copy()
        scale = np.exp(rng.normal(0, 0.4, len(cv)))
        fwhm = 1400.0 * shift.factor(shift.WIDTHS, shifted) * np.exp(rng.normal(0, 0.25, len(cv)))
        factors = shift.pattern(CV_PATTERN, shift.LINES, shifted, len(CV_WIDTHS))
        for (line, ew), changed in zip(CV_WIDTHS.items(), factors, strict=True):
            add_emission(part, continuum, line * (1 + z[cv]), fwhm, ew * changed * scale)
        flux[cv] = part
    return Stars(flux, z, kind)
