"""Absorption in quasar spectra: outflows (BALs), Lyman-alpha forest, damped absorbers."""

from functools import cache

import numpy as np

from qnal.lines import REST_WAVELENGTH
from qnal.spectra.mock.model_grid import F4, F8, LIGHT_SPEED, START, STEP, WAVE, add_gaussians

LYA, LYB, LYMAN_LIMIT = REST_WAVELENGTH["LYA"], REST_WAVELENGTH["LYB"], 911.75
ROUGHNESS = 1.6  # rms of ln(optical depth) of the forest at 120 km/s per pixel
# Lines of a BAL trough: rest wavelength (Å), optical depth relative to CIV
HIGH_IONISATION = ((1549.06, 1.0), (1396.8, 0.5), (1240.8, 0.8), (1034.8, 0.7), (1215.67, 0.3))
LOW_IONISATION = ((2799.1, 0.7), (1857.4, 0.8))


@cache
def _forest_depth(line: float, strength: float) -> F4:
    """Median optical depth of the log-normal forest at each pixel, for absorption by ``line``.

    Chosen so that the mean transmission is exp(−0.0018 (1+z)^3.92) (Faucher-Giguère et al. 2008);
    the optical depth of higher Lyman lines is scaled by ``strength``.
    """
    node, weight = np.polynomial.hermite_e.hermegauss(40)
    depth = np.geomspace(1e-5, 1e4, 400)
    mean = np.exp(-depth[:, None] * np.exp(ROUGHNESS * node)) @ (weight / weight.sum())
    effective = -np.log(np.maximum(mean, 1e-300))
    wanted = 0.0018 * (WAVE / line) ** 3.92
    return (strength * np.interp(wanted, effective, depth)).astype(np.float32)


def absorb_forest(rng: np.random.Generator, flux: F4, z: F8) -> None:
    """Multiply quasars by Lyman-alpha and -beta forest and Lyman limit systems, in place.

    Args:
        rng: source of random numbers.
        flux: shape [n, PIXELS].
        z: shape [n].
    """
    rows = np.flatnonzero(LYA * (1 + z) > WAVE[0])
    if not len(rows):
        return
    edge = (np.log(LYA * (1 + z[rows])) - START) / STEP
    last = min(int(edge.max()) + 1, len(WAVE))
    field = rng.standard_normal((len(rows), last + 2), np.float32)
    # Correlated over about 150 km/s.
    field = (0.5 * field[:, :-2] + 0.707 * field[:, 1:-1] + 0.5 * field[:, 2:]) * ROUGHNESS
    np.exp(field, out=field)
    pixel = np.arange(last, dtype=np.float32)
    behind_beta = pixel < (edge + np.log(LYB / LYA) / STEP).astype(np.float32)[:, None]
    depth = _forest_depth(LYA, 1.0)[:last] + behind_beta * _forest_depth(LYB, 0.16)[:last]
    field *= depth
    field *= pixel < edge.astype(np.float32)[:, None]

    # One Lyman limit system in front of each quasar; most lie blueward of the grid.
    z_limit = z[rows] - rng.exponential(0.4, len(rows))
    strength = np.exp(rng.normal(1.0, 0.8, len(rows)))
    for i in np.flatnonzero(LYMAN_LIMIT * (1 + z_limit) > WAVE[0]):
        x = WAVE[:last] / (LYMAN_LIMIT * (1 + z_limit[i]))
        field[i] += (strength[i] * np.where(x < 1, x**2.75, 0)).astype(np.float32)
    flux[rows, :last] *= np.exp(-field)


def absorb_damped(rng: np.random.Generator, flux: F4, z: F8, share: float) -> None:
    """Put a damped Lyman-alpha absorber in front of a share of the quasars, in place.

    Lorentzian wings with optical depth (Δλ_rest / 2.06 Å)^-2 × N(HI) / 1e20 cm⁻², which follows
    from an equivalent width of 7.3 Å × √(N(HI) / 1e20).
    """
    chosen = rng.random(len(z)) < share
    place, column = rng.random(len(z)), 10 ** (0.3 + rng.exponential(0.35, len(z)))
    lowest = WAVE[0] / LYA - 1
    for i in np.flatnonzero(chosen & (z > lowest + 0.05)):
        z_abs = lowest + place[i] * (z[i] - lowest)
        distance = WAVE / (1 + z_abs) - LYA
        depth = column[i] * (2.06**2) / np.maximum(distance**2, 0.25)
        flux[i] *= np.exp(-depth).astype(np.float32)


def absorb_troughs(rng: np.random.Generator, flux: F4, z: F8, share: float) -> F8:
    """Give a share of the quasars broad absorption lines, in place.

    Returns:
        Balnicity index of CIV, shape [n], km/s; 0 without a sufficiently broad trough.
    """
    n = len(z)
    is_bal = rng.random(n) < share
    start = rng.uniform(2000.0, 18_000.0, n)
    fwhm = np.clip(3500.0 * np.exp(0.4 * rng.normal(size=(2, n))), 1200.0, 9000.0)
    velocity = np.stack([start + 0.8 * fwhm[0], start + 0.8 * fwhm[0] + rng.uniform(0, 6000.0, n)])
    depth = np.exp(rng.normal(0.2, 0.6, (2, n))) * np.stack([np.ones(n), rng.random(n) < 0.5])
    low_ionisation = rng.random(n) < 0.15
    index = np.zeros(n)
    rows = np.flatnonzero(is_bal)
    if not len(rows):
        return index
    tau = np.zeros((len(rows), flux.shape[1]), np.float32)
    for k in range(2):
        factor = np.exp(-np.arctanh(velocity[k, rows] / LIGHT_SPEED))
        for line, strength in HIGH_IONISATION + LOW_IONISATION:
            height = strength * depth[k, rows]
            if (line, strength) in LOW_IONISATION:
                height = height * low_ionisation[rows]
            add_gaussians(tau, line * (1 + z[rows]) * factor, fwhm[k, rows], height)
    flux[rows] *= np.exp(-tau)
    v = np.arange(0.0, 25_001.0, 50.0)
    x = (v - velocity[:, rows, None]) / (fwhm[:, rows, None] / 2.3548)
    trough = np.exp(-(depth[:, rows, None] * np.exp(-0.5 * x * x)).sum(axis=0))
    index[rows] = balnicity(v, trough)
    return index


def balnicity(velocity: F8, flux: F8) -> F8:
    """Balnicity index in km/s (Weymann et al. 1991).

    The integral of 1 − f/0.9 from 3,000 to 25,000 km/s, over velocities at which the flux f has
    been below 0.9 of the continuum for at least 2,000 km/s.

    Args:
        velocity: outflow velocities in equal steps, shape [m], km/s.
        flux: flux over continuum, shape [n, m].
    """
    step = velocity[1] - velocity[0]
    deficit = 1 - flux / 0.9
    inside = (velocity >= 3000.0) & (velocity <= 25_000.0)
    below = (deficit > 0) & inside
    position = np.arange(len(velocity))
    last_above = np.maximum.accumulate(np.where(below, -1, position), axis=1)
    counted = below & ((position - last_above) * step > 2000.0)
    return np.asarray((deficit * counted).sum(axis=1) * step)
