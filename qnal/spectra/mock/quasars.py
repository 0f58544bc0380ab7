"""Mock quasars: continuum, iron, emission lines, host galaxy and absorption."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qnal.lines import REST_WAVELENGTH
from qnal.spectra.mock import galaxies, shift
from qnal.spectra.mock.absorption import LYA, absorb_damped, absorb_forest, absorb_troughs
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.model_grid import (
    F4,
    F8,
    LIGHT_SPEED,
    LN_WAVE,
    WAVE,
    Templates,
    add_emission,
    draw_from,
    rest_grid,
)

# Rest wavelength (Å), equivalent width (Å at rest), width relative to the quasar's own
# (Vanden Berk et al. 2001, Table 2; blends are merged).
BROAD = (
    *((1033.0, 10.0, 1.0), (REST_WAVELENGTH["LYA"], 75.0, 0.85), (1240.8, 16.0, 0.9)),
    *((1262.0, 1.0, 1.0), (1304.4, 1.8, 0.8), (1335.3, 0.8, 0.8), (1398.3, 8.5, 1.1)),
    *((REST_WAVELENGTH["CIV(eff)"], 29.0, 0.95), (1640.4, 3.5, 1.1), (1664.7, 1.5, 1.0)),
    *((1857.8, 2.0, 1.0), (1892.0, 2.0, 0.8), (REST_WAVELENGTH["CIII(1909)"], 18.0, 1.15)),
    *((2326.4, 2.0, 0.9), (2799.1, 30.0, 0.75), (4102.9, 6.0, 0.9), (4341.7, 14.0, 0.9)),
    *((REST_WAVELENGTH["Hbeta"], 45.0, 0.9), (5877.2, 5.0, 0.9)),
    *((REST_WAVELENGTH["Halpha"], 190.0, 0.8), (7067.2, 3.0, 0.9), (8450.0, 10.0, 0.8)),
)
NARROW = (
    *((3426.9, 1.4), (3728.5, 2.0), (3869.9, 1.6), (4363.0, 0.5), (4862.7, 1.2), (4960.3, 4.5)),
    *((5008.24, 13.5), (6549.9, 2.0), (6564.6, 6.0), (6585.3, 5.0), (6718.3, 1.5), (6732.7, 1.4)),
)
# Seeds of the patterns of shifted surveys; doublets of one upper level keep their ratios.
BROAD_PATTERN, NARROW_PATTERN = 1, 5
BLUESHIFT = {1549.06: 600.0, 1398.3: 300.0, 1640.4: 700.0, 1240.8: 300.0}  # mean, km/s
# Bumps of blended FeII and the Balmer continuum: centre, sigma (Å), height over the continuum
IRON = (
    *((2080, 45, 0.10), (2250, 60, 0.10), (2390, 45, 0.24), (2490, 60, 0.22), (2590, 40, 0.18)),
    *((2750, 50, 0.12), (2900, 40, 0.08), (2960, 30, 0.08), (3190, 60, 0.07), (3500, 160, 0.10)),
    *((4520, 60, 0.16), (4600, 50, 0.13), (5190, 50, 0.14), (5290, 60, 0.14), (5400, 60, 0.06)),
)
# dn/dz of DESI's targets and of the DR12 superset, which was selected for z > 2.15
DESI_DENSITY = (
    [0.05, 0.3, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, 3.3, 4.0, 4.7],
    [0.05, 0.25, 0.7, 0.9, 1.0, 0.95, 0.75, 0.45, 0.2, 0.05, 0.01],
)
BOSS_DENSITY = (
    [0.05, 0.5, 1.0, 1.6, 2.1, 2.3, 2.6, 3.0, 3.5, 4.2, 4.7],
    [0.10, 0.2, 0.2, 0.3, 0.5, 1.0, 0.9, 0.5, 0.25, 0.06, 0.01],
)


@cache
def _iron() -> Templates:
    ln_wave = rest_grid(600.0)
    wave = np.exp(ln_wave)
    flux = sum(h * np.exp(-0.5 * ((wave - c) / s) ** 2) for c, s, h in IRON)
    return Templates(ln_wave, np.asarray(flux, np.float32)[None])


@dataclass(frozen=True)
class Quasars:
    """Noiseless quasar spectra: ``flux`` [n, PIXELS] in arbitrary units, ``bi_civ`` in km/s."""

    flux: F4
    z: F8
    kind: NDArray[np.str_]
    bi_civ: F8


def draw_redshifts(rng: np.random.Generator, n: int, z_max: float, boss: bool = False) -> F8:
    """Draw ``n`` redshifts from DESI's or BOSS's distribution."""
    where, density = BOSS_DENSITY if boss else DESI_DENSITY
    return draw_from(rng, where, density, n, z_max)


def continuum(rng: np.random.Generator, z: F8, shifted: float = 0.0) -> F4:
    """Reddened broken power laws, 1 at 3000 Å rest before reddening, shape [n, PIXELS].

    The mean slopes in f_λ are −1.56 between Lyman alpha and 4661 Å (Vanden Berk et al. 2001),
    −0.9 redward and −0.7 blueward.
    """
    n = len(z)
    redder = shift.QUASAR_SLOPE * shifted
    slope = rng.normal(-1.56 + redder, 0.30, n)
    red = rng.normal(-0.9 + redder, 0.3, n)
    blue = rng.normal(-0.7 + redder, 0.4, n)
    x = (LN_WAVE[None, :] - (np.log(3000.0) + np.log1p(z))[:, None]).astype(np.float32)
    knee, edge = np.float32(np.log(4661 / 3000)), np.float32(np.log(LYA / 3000))
    power: F4 = slope[:, None].astype(np.float32) * x
    power += (red - slope)[:, None].astype(np.float32) * np.maximum(x - knee, 0)
    power += (blue - slope)[:, None].astype(np.float32) * np.minimum(x - edge, 0)
    # SMC-like dust, A ∝ λ^-1.2; 4 % are strongly reddened
    dust = rng.exponential(np.where(rng.random(n) < 0.04, 0.7, 0.05), n) * (1 + z) ** 1.2
    dust *= shift.factor(shift.QUASAR_DUST, shifted)
    power -= np.outer(dust, (3000.0 / WAVE) ** 1.2).astype(np.float32)
    np.exp(power, out=power)
    return power


def render(rng: np.random.Generator, z: F8, config: MockConfig) -> Quasars:
    """Noiseless spectra of quasars at given redshifts."""
    n, shifted = len(z), config.shift
    base = continuum(rng, z, shifted)
    iron = rng.gamma(2.0, 0.5, (n, 1)) * shift.factor(shift.IRON, shifted)
    flux = base * (1 + _iron().observed(iron, z))
    weak = rng.random(n) < config.weak_lines
    strength = np.exp(rng.normal(0, 0.30, n)) * np.where(weak, 1 / 6, 1.0)
    broader = shift.factor(shift.WIDTHS, shifted)
    width = np.clip(4200.0 * broader * np.exp(0.28 * rng.normal(size=n)), 2000.0, 9000.0)
    wind = np.clip(rng.normal(1.0, 0.8, n), -0.5, 4.0)  # CIV is weaker where it is more blueshifted
    factors = shift.pattern(BROAD_PATTERN, shift.LINES, shifted, len(BROAD))
    for (line, ew, factor), changed in zip(BROAD, factors, strict=True):
        total = ew * changed * strength * np.exp(0.25 * rng.normal(size=n)) * (1 + z)
        velocity = BLUESHIFT.get(line, 0.0) * wind + rng.normal(0, 120.0, n)
        if line in BLUESHIFT:
            total *= np.exp(-0.2 * (wind - 1))
        centre = line * (1 + z) * (1 - velocity / LIGHT_SPEED)
        # Broad lines are peaked: the sum of a core and wings.
        core = np.maximum(0.7 * factor * width, 1200.0)
        add_emission(flux, base, centre, core, 0.55 * total)
        add_emission(flux, base, centre, 2.2 * core, 0.45 * total)
    narrow = np.exp(rng.normal(-0.3, 0.8, n))
    fwhm = np.clip(500.0 * broader * np.exp(0.3 * rng.normal(size=n)), 250.0, 1200.0)
    factors = shift.pattern(NARROW_PATTERN, shift.LINES, shifted, len(NARROW))
    for (line, ew), changed in zip(NARROW, factors, strict=True):
        add_emission(flux, base, line * (1 + z), fwhm, ew * changed * narrow * (1 + z))
    balnicity = absorb_troughs(rng, flux, z, config.bal)
    _add_host(rng, flux, z, shifted)
    absorb_damped(rng, flux, z, config.dla)
    absorb_forest(rng, flux, z)
    kind = np.where(balnicity > 0, "BAL", np.where(weak, "WEAK", "BROAD"))
    return Quasars(flux, z, kind, balnicity)


def _add_host(rng: np.random.Generator, flux: F4, z: F8, shifted: float) -> None:
    """Add host galaxies to quasars at z < 1.3, in place."""
    share = rng.beta(1.2, 2.5, len(z)) * np.clip(1.3 - z, 0, 1)
    rows = np.flatnonzero(share > 0.03)
    if not len(rows):
        return
    host = galaxies.render(rng, np.full(len(rows), "STARFORMING"), z[rows], shifted)
    # Shares of the flux between 5000 and 7000 Å, observed.
    band = (WAVE > 5000) & (WAVE < 7000)
    ratio = flux[rows][:, band].mean(axis=1) / np.maximum(host[:, band].mean(axis=1), 1e-9)
    share = share[rows]
    flux[rows] *= (1 - share)[:, None].astype(np.float32)
    flux[rows] += host * (share * ratio)[:, None].astype(np.float32)
