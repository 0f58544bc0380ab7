"""Configuration of a mock survey."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isfinite

from qnal.errors import ConfigError

CLASSES = ("qso", "galaxy", "star", "sky", "oddity")
BOSS_CLASSES = ("qso", "galaxy", "star")


def _mix() -> dict[str, float]:
    return {"qso": 0.40, "galaxy": 0.22, "star": 0.26, "sky": 0.08, "oddity": 0.04}


def _boss_mix() -> dict[str, float]:
    return {"qso": 0.60, "galaxy": 0.08, "star": 0.32}


@dataclass
class MockConfig:
    """Sizes, class mix and imperfections of a mock survey.

    Attributes:
        seed: seed of all random numbers.
        labelled: rows of the labelled DESI coadds; each exposure of a target is a row.
        boss: rows of the BOSS training file.
        pool: rows of the unlabelled coadds, sky fibres included.
        mix: relative weights of the classes; sky is left out of the labelled set.
        boss_mix: the same for the BOSS file.
        snr_min, snr_max: range of the median signal-to-noise per DESI pixel. Its logarithm has a
            Beta(2, 1.5) distribution between them; spectra whose median flux is below 2 % of
            their peak are fainter.
        qso_z_max: largest redshift of a quasar.
        fibres: targets per petal, at most 500 (as in DESI).
        petals: petals per tile, 1 to 10.
        exposures: each tile is exposed 1 to this many times.
        revisited: share of a petal's targets that are also on the previous tile.
        bal: share of quasars with broad absorption troughs.
        weak_lines: share of quasars with emission lines of a sixth of the usual strength.
        dla: share of quasars behind a damped Lyman-alpha absorber.
        dead_cameras: share of rows in which one camera has no data (ivar is 0).
        cosmic_rays: mean number of cosmic rays per spectrum.
        cosmics_found: share of cosmic rays that are flagged in the pixel mask.
        sky_residual: rms error of the subtracted sky lines, relative to the lines.
        calibration: rms error of each camera's flux calibration.
        inspection_snr: median signal-to-noise per pixel of a spectrum that inspectors give a mean
            quality of 2; lower where they see deeper coadds than the networks do.
        label_errors: share of confident labels with a wrong class.
        boss_dropped: share of BOSS rows with TARGETID −1.
        shift: how much spectra differ from those of the usual survey, of which priors are made: in
            continuum, dust, lines, stellar populations, noise and calibration; 0 for not at all,
            up to 1.
        redrock: write results of Redrock beside the coadds of the pool.
    """

    seed: int = 91701
    labelled: int = 1500
    boss: int = 1000
    pool: int = 2000
    mix: dict[str, float] = field(default_factory=_mix)
    boss_mix: dict[str, float] = field(default_factory=_boss_mix)
    snr_min: float = 0.3
    snr_max: float = 10.0
    qso_z_max: float = 4.5
    fibres: int = 250
    petals: int = 2
    exposures: int = 2
    revisited: float = 0.05
    bal: float = 0.15
    weak_lines: float = 0.05
    dla: float = 0.10
    dead_cameras: float = 0.02
    cosmic_rays: float = 3.0
    cosmics_found: float = 0.8
    sky_residual: float = 0.01
    calibration: float = 0.03
    inspection_snr: float = 0.6
    label_errors: float = 0.005
    boss_dropped: float = 0.01
    shift: float = 0.0
    redrock: bool = False

    def validate(self) -> None:
        """Check all values.

        Raises:
            ConfigError: a value cannot be used; names the first such key.
        """
        for key in ("seed", "labelled", "boss", "pool"):
            if getattr(self, key) < 0:
                raise _bad(key, getattr(self, key), "0 or a positive whole number")
        if self.labelled + self.boss + self.pool == 0:
            raise ConfigError(
                "data.mock.labelled, data.mock.boss and data.mock.pool are all 0; at least one "
                "must be positive."
            )
        _check_mix("mix", self.mix, CLASSES)
        _check_mix("boss_mix", self.boss_mix, BOSS_CLASSES)
        if self.labelled and not any(w > 0 for c, w in self.mix.items() if c != "sky"):
            raise ConfigError(
                "data.mock.mix has only sky, which cannot be labelled; give another class a "
                "positive weight, or set data.mock.labelled=0."
            )
        for f in fields(self):
            if f.type is float and not isfinite(getattr(self, f.name)):
                raise _bad(f.name, getattr(self, f.name), "a finite number")
        if self.snr_min <= 0:
            raise _bad("snr_min", self.snr_min, "a positive number")
        if self.inspection_snr <= 0:
            raise _bad("inspection_snr", self.inspection_snr, "a positive number")
        if self.snr_max < self.snr_min:
            raise _bad("snr_max", self.snr_max, f"at least data.mock.snr_min={self.snr_min}")
        if not 0.2 <= self.qso_z_max <= 4.7:
            raise _bad("qso_z_max", self.qso_z_max, "between 0.2 and 4.7")
        for key, most in (("fibres", 500), ("petals", 10), ("exposures", 10)):
            if not 1 <= getattr(self, key) <= most:
                raise _bad(key, getattr(self, key), f"a whole number from 1 to {most}")
        for key in (
            *("revisited", "bal", "weak_lines", "dla", "dead_cameras", "cosmics_found"),
            *("label_errors", "boss_dropped", "shift"),
        ):
            if not 0 <= getattr(self, key) <= 1:
                raise _bad(key, getattr(self, key), "between 0 and 1")
        for key in ("cosmic_rays", "sky_residual", "calibration"):
            if getattr(self, key) < 0:
                raise _bad(key, getattr(self, key), "0 or positive")


def _bad(key: str, value: object, valid: str) -> ConfigError:
    return ConfigError(f"data.mock.{key}={value} cannot be used; it must be {valid}.")


def _check_mix(key: str, mix: Mapping[str, float], classes: tuple[str, ...]) -> None:
    for name, weight in mix.items():
        if name not in classes:
            raise ConfigError(
                f"data.mock.{key}.{name} is not a known class; valid classes: {', '.join(classes)}."
            )
        if not (isfinite(weight) and weight >= 0):
            raise _bad(f"{key}.{name}", weight, "0 or a positive number")
    if not sum(mix.values()) > 0:
        raise ConfigError(
            f"data.mock.{key} has no class of positive weight; give at least one of "
            f"{', '.join(classes)}."
        )
