"""Mock galaxies: stellar populations with dust and nebular emission lines."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.mock import shift, stars
from qnal.spectra.mock.model_grid import F4, F8, WAVE, Templates, add_emission, draw_from

# Shares of the light at 5500 Å by effective temperature in K
POPULATIONS: dict[str, dict[float, float]] = {
    "old": {3500: 0.08, 4100: 0.30, 4700: 0.32, 5500: 0.22, 6200: 0.08},
    "intermediate": {4300: 0.30, 5500: 0.30, 6700: 0.22, 8500: 0.18},
    "burst": {4700: 0.20, 7000: 0.15, 9500: 0.65},
    "young": {4500: 0.15, 6500: 0.15, 9500: 0.25, 15_000: 0.25, 30_000: 0.20},
}
KINDS = ("PASSIVE", "STARFORMING", "ELG", "POSTSTARBURST", "SEYFERT2")
SHARES = (0.38, 0.33, 0.20, 0.03, 0.06)
# Dirichlet weights of the populations in the order above
MIXTURES = {
    "PASSIVE": (12, 1.2, 0.05, 0.05),
    "STARFORMING": (2.0, 3.0, 0.5, 2.5),
    "ELG": (0.5, 1.5, 0.5, 5.0),
    "POSTSTARBURST": (2.0, 1.0, 6.0, 0.2),
    "SEYFERT2": (5.0, 3.0, 0.2, 1.0),
}
REDSHIFTS: dict[str, tuple[list[float], list[float]]] = {
    "PASSIVE": ([0.01, 0.2, 0.5, 0.8, 1.1], [0.3, 1.0, 0.9, 0.9, 0.0]),
    "STARFORMING": ([0.005, 0.15, 0.3, 0.6, 0.9], [0.2, 1.0, 0.8, 0.3, 0.0]),
    "ELG": ([0.5, 0.8, 1.1, 1.4, 1.6], [0.2, 1.0, 0.9, 0.5, 0.2]),
    "POSTSTARBURST": ([0.02, 0.3, 0.9], [0.3, 1.0, 0.1]),
    "SEYFERT2": ([0.02, 0.2, 0.5, 0.9], [0.4, 1.0, 0.6, 0.1]),
}
# Vacuum Å: relative flux in HII regions, the same in Seyfert 2 nuclei (Hβ = 1 in both)
NEBULAR = (
    *((3426.9, 0.0, 0.9), (3727.1, 1.3, 1.6), (3729.9, 1.7, 1.8), (3869.9, 0.25, 1.1)),
    *((4102.9, 0.25, 0.25), (4341.7, 0.46, 0.46), (4364.4, 0.02, 0.2), (4687.0, 0.0, 0.25)),
    *((4862.7, 1.0, 1.0), (4960.3, 0.45, 3.3), (5008.24, 1.35, 10.0), (5877.2, 0.12, 0.13)),
    *((6302.0, 0.08, 0.6), (6549.9, 0.3, 1.0), (6564.6, 2.9, 3.1), (6585.3, 0.9, 3.0)),
    *((6718.3, 0.5, 0.9), (6732.7, 0.38, 0.8), (9071.1, 0.2, 0.5), (9533.2, 0.5, 1.3)),
)
HBETA_WIDTH = {  # mean equivalent width of Hβ, Å at rest, and its scatter in ln
    "PASSIVE": (0.1, 0.8), "STARFORMING": (7.0, 0.7), "ELG": (18.0, 0.7),
    "POSTSTARBURST": (0.3, 0.8), "SEYFERT2": (5.0, 0.6),
}  # fmt: skip


# Seeds of the patterns of shifted surveys; doublets of one upper level keep their ratios.
MIXTURE_PATTERN, NEBULAR_PATTERN = 6, 11


@cache
def templates(shifted: float = 0.0) -> Templates:
    """One template per stellar population, with a velocity dispersion of 200 km/s."""
    star = stars.templates(shifted)
    flux = []
    for population in POPULATIONS.values():
        weights = stars.temperature_weights(np.array(list(population)))
        flux.append(np.array(list(population.values())) @ weights @ star.flux)
    x = np.arange(-6, 7) * 120.0 / 200.0
    kernel = np.exp(-0.5 * x * x)
    smooth = [np.convolve(f, kernel / kernel.sum(), mode="same") for f in flux]
    return Templates(star.ln_wave, np.array(smooth, np.float32))


@dataclass(frozen=True)
class Galaxies:
    """Noiseless galaxy spectra: ``flux`` [n, PIXELS] in arbitrary units."""

    flux: F4
    z: F8
    kind: NDArray[np.str_]


def draw_galaxies(rng: np.random.Generator, n: int, shifted: float = 0.0) -> Galaxies:
    """Draw ``n`` galaxies of random kinds, each at a redshift typical of its kind."""
    kind = rng.choice(np.array(KINDS), n, p=SHARES)
    z = np.zeros(n)
    for name, (where, density) in REDSHIFTS.items():
        of_kind = kind == name
        z[of_kind] = draw_from(rng, where, density, int(of_kind.sum()))
    return Galaxies(render(rng, kind, z, shifted), z, kind)


def render(rng: np.random.Generator, kind: NDArray[np.str_], z: F8, shifted: float = 0.0) -> F4:
    """Noiseless spectra of galaxies of given kinds and redshifts, shape [n, PIXELS]."""
    n = len(z)
    changes = shift.pattern(MIXTURE_PATTERN, shift.POPULATIONS, shifted, len(KINDS), 4)
    mixtures = {k: np.array(MIXTURES[k]) * c for k, c in zip(KINDS, changes, strict=True)}
    # Dirichlet draws with parameters per row, as normalised gamma draws.
    weights = rng.gamma(np.array([mixtures[k] for k in kind]).reshape(n, 4))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    flux = templates(shifted).observed(weights, z)
    dust = np.clip(rng.normal(0.25 + shift.GALAXY_DUST * shifted, 0.2, n), 0, None) * (1 + z)
    flux *= np.exp(-np.outer(dust, 5500.0 / WAVE)).astype(np.float32)

    mean, scatter = np.array([HBETA_WIDTH[k] for k in kind]).reshape(n, 2).T
    width = mean * np.exp(scatter * rng.normal(size=n)) * shift.factor(shift.NEBULAR, shifted)
    nuclear = np.where(kind == "SEYFERT2", 1.0, rng.random(n) < 0.03)
    fwhm = np.where(nuclear > 0, 450.0, 230.0) * np.exp(0.25 * rng.normal(size=n))
    fwhm *= shift.factor(shift.WIDTHS, shifted)
    ionisation = np.exp(0.4 * rng.normal(size=n))  # scatter of the collisional lines
    continuum = flux.copy()
    # Line fluxes are relative to Hβ, equivalent widths to the continuum at the line.
    hbeta = np.einsum("nk,k->n", weights, _level_at(4862.7, shifted)) * np.exp(
        -dust * 5500.0 / (4862.7 * (1 + z))
    )
    factors = shift.pattern(NEBULAR_PATTERN, shift.LINES, shifted, len(NEBULAR))
    for (line, hii, seyfert), changed in zip(NEBULAR, factors, strict=True):
        strength = np.where(nuclear > 0, seyfert, hii) * np.where(
            np.isin(line, (4102.9, 4341.7, 4862.7, 6564.6)), 1.0, ionisation
        )
        local = np.einsum("nk,k->n", weights, _level_at(line, shifted)) * np.exp(
            -dust * 5500.0 / (line * (1 + z))
        )
        ew = width * strength * changed * hbeta / np.maximum(local, 0.05 * hbeta)
        add_emission(flux, continuum, line * (1 + z), fwhm, ew * (1 + z))
    return flux


@cache
def _level_at(wave: float, shifted: float) -> F8:
    """Mean flux of each population around a rest wavelength (Å), shape [4]."""
    t = templates(shifted)
    near = np.abs(t.ln_wave - np.log(wave)) < 0.01
    return np.asarray(t.flux[:, near].mean(axis=1), np.float64)
