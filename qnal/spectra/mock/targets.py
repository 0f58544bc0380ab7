"""Mock targets: class, noiseless spectrum, brightness and identifier of each fibre."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from qnal.spectra.mock.config import MockConfig
from qnal.spectra.mock.galaxies import Galaxies, draw_galaxies
from qnal.spectra.mock.model_grid import F4, F8, PIXELS, WAVE
from qnal.spectra.mock.observation import signal_to_noise
from qnal.spectra.mock.oddities import distort
from qnal.spectra.mock.quasars import Quasars, draw_redshifts, render
from qnal.spectra.mock.stars import Stars, draw_stars

RELEASE = 9010  # of the Legacy Surveys' DR9, the upper bits of a DESI TARGETID
BANDS = {"G": (4200.0, 5500.0), "R": (5700.0, 7200.0), "Z": (8500.0, 10_000.0)}


@dataclass(frozen=True)
class Targets:
    """Targets and sky fibres with their noiseless spectra, one row each.

    Attributes:
        targetid: 0 until assigned.
        signal: shape [n, PIXELS], 1e-17 erg/s/cm²/Å, zero for sky.
        z: NaN for sky.
        spectype: QSO, GALAXY, STAR or SKY.
        kind: a finer class, such as BAL, PASSIVE or M.
        oddity: kind of anomaly, or an empty string.
        bi_civ: balnicity index, km/s.
        snr: median signal-to-noise per pixel in a typical DESI exposure.
        ra, dec: degrees.
    """

    targetid: NDArray[np.int64]
    signal: F4
    z: F8
    spectype: NDArray[np.str_]
    kind: NDArray[np.str_]
    oddity: NDArray[np.str_]
    bi_civ: F8
    snr: F8
    ra: F8
    dec: F8

    def __len__(self) -> int:
        return len(self.z)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Targets":
        """The targets of these rows (indices or a mask)."""
        return Targets(*(getattr(self, f.name)[rows] for f in fields(self)))

    def join(self, other: "Targets") -> "Targets":
        """Both sets of targets, these first."""
        return Targets(
            *(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self))
        )

    def without_spectra(self) -> "Targets":
        """The same targets without pixels, which need little memory."""
        return replace(self, signal=self.signal[:, :0])

    def photometry(self) -> dict[str, F4]:
        """FLUX_G, FLUX_R and FLUX_Z in nanomaggies, from top-hat bands."""
        out = {}
        for band, (low, high) in BANDS.items():
            inside = slice(*np.searchsorted(WAVE, (low, high)))
            mean = self.signal[:, inside].mean(axis=1)
            # f_ν = f_λ λ²/c with 1 nanomaggie = 3.631e-29 erg/s/cm²/Hz
            factor = 1e-17 * (low * high) * 1e-8 / 2.99792458e10 / 3.631e-29
            out[f"FLUX_{band}"] = (mean * factor).astype(np.float32)
        return out


def draw_targets(
    rng: np.random.Generator,
    n: int,
    mix: Mapping[str, float],
    config: MockConfig,
    boss: bool = False,
) -> Targets:
    """Draw ``n`` targets of random class and brightness; identifiers and positions are 0.

    Args:
        rng: source of random numbers.
        n: number of targets.
        mix: weights of the classes.
        config: ranges of redshift and brightness, and shares of kinds.
        boss: draw redshifts of quasars from BOSS's distribution.
    """
    names = sorted(mix)
    weights = np.array([mix[k] for k in names], float)
    drawn = rng.choice(np.array(names, dtype="U8"), n, p=weights / weights.sum())
    odd = drawn == "oddity"
    # Anomalous spectra are distorted spectra of the other classes in the mix, or of any class if
    # there are none.
    usual = {k: mix.get(k, 0.0) for k in ("galaxy", "qso", "star")}
    if not sum(usual.values()):
        usual = dict.fromkeys(usual, 1.0)
    share = np.array(list(usual.values())) / sum(usual.values())
    drawn[odd] = rng.choice(np.array(list(usual), dtype="U8"), int(odd.sum()), p=share)

    signal = np.zeros((n, PIXELS), np.float32)
    z, bi_civ = np.full(n, np.nan), np.zeros(n)
    kind = np.full(n, "", dtype="U16")
    for name in ("qso", "galaxy", "star"):
        rows = np.flatnonzero(drawn == name)
        if not len(rows):
            continue
        if name == "qso":
            quasars = render(rng, draw_redshifts(rng, len(rows), config.qso_z_max, boss), config)
            part: Quasars | Galaxies | Stars = quasars
            bi_civ[rows] = quasars.bi_civ
        elif name == "galaxy":
            part = draw_galaxies(rng, len(rows), config.shift)
        else:
            part = draw_stars(rng, len(rows), config.shift)
        signal[rows], z[rows], kind[rows] = part.flux, part.z, part.kind
    oddity = np.full(n, "", dtype="U8")
    if odd.any():
        strange = signal[odd]
        oddity[odd] = distort(rng, strange)
        signal[odd] = strange

    # Beta(2, 1.5) has mean 0.57 and falls to 0 at both ends.
    snr = config.snr_min * (config.snr_max / config.snr_min) ** rng.beta(2.0, 1.5, n)
    snr[drawn == "sky"] = 0
    median, peak = signal_to_noise(signal, config.shift)
    # The median of an M dwarf or a strongly absorbed quasar may be nearly 0: limit the peak.
    factor = snr / np.maximum(np.maximum(median, 0.02 * peak), 1e-12)
    signal *= factor[:, None].astype(np.float32)
    snr = median * factor
    spectype = np.char.upper(drawn)
    return Targets(
        targetid=np.zeros(n, np.int64),
        signal=signal,
        z=z,
        spectype=spectype,
        kind=kind,
        oddity=oddity,
        bi_civ=bi_civ,
        snr=snr,
        ra=np.zeros(n),
        dec=np.zeros(n),
    )


def desi_targetids(rng: np.random.Generator, n: int, brick: int) -> NDArray[np.int64]:
    """``n`` distinct TARGETIDs in desitarget's bit layout: release, brick, object."""
    objid = np.cumsum(rng.integers(1, 9, n))
    return (np.int64(RELEASE) << 42) | (np.int64(brick) << 22) | objid.astype(np.int64)
