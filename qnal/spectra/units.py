"""Units of wavelengths and fluxes of other surveys, in Å and 1e-17 erg/s/cm²/Å."""

import warnings

import numpy as np
from astropy import units
from numpy.typing import NDArray

from qnal.errors import InputError

LOGARITHM = "log10(AA)"
FLUX = 1e-17 * units.erg / units.s / units.cm**2 / units.AA
_SPELLINGS = {"angstroms": "AA", "ang": "AA", "micron": "um", "microns": "um"}


def wavelengths(values: NDArray, unit: str | None, where: str, air: bool = False) -> NDArray:
    """Wavelengths in Å in vacuum, checked to be increasing.

    Args:
        values: shape [n].
        unit: as astropy spells it (``Angstrom``, ``nm``, ``um``), or ``log10(AA)``.
        where: the file and the column, for messages.
        air: whether the wavelengths are those in air.

    Raises:
        InputError: the unit is missing or not one of length, or the wavelengths do not increase.
    """
    if unit is None or not unit.strip():
        raise InputError(
            f"{where}: the wavelengths have no unit; a unit such as Angstrom or nm is needed."
        )
    values = np.asarray(values, np.float64)
    if unit.strip().replace(" ", "").lower() == LOGARITHM.lower():
        with np.errstate(over="ignore"):
            wave = 10**values
    else:
        scale = _scale(unit, units.AA)
        if scale is None:
            raise InputError(
                f"{where}: the wavelengths have the unit {unit!r}; a unit of length such as "
                f"Angstrom or nm, or {LOGARITHM}, is expected."
            )
        wave = values * scale
    increasing = wave.ndim == 1 and len(wave) > 0 and np.isfinite(wave).all() and wave[0] > 0
    if not (increasing and np.all(wave[1:] > wave[:-1])):
        raise InputError(f"{where}: not a list of increasing wavelengths.")
    return in_vacuum(wave) if air else wave


def flux_scale(unit: str | None) -> float:
    """What fluxes are multiplied by to be in 1e-17 erg/s/cm²/Å; 1 where the unit is unknown.

    Scores do not depend on it, because every spectrum is divided by its rms.
    """
    return 1.0 if unit is None else (_scale(unit, FLUX) or 1.0)


def is_unit(unit: str) -> bool:
    """Whether a text is a unit of any kind, such as ``adu``."""
    return _parsed(unit) is not None


def in_vacuum(air: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wavelengths in vacuum of those in air, Å (Ciddor 1996, as fitted by N. Piskunov for VALD)."""
    s2 = (1e4 / air) ** 2
    refraction = 2.408926869968e-2 / (130.1065924522 - s2) + 1.599740894897e-4 / (
        38.92568793293 - s2
    )
    return air * (1 + 8.336624212083e-5 + refraction)


def _scale(unit: str, to: units.UnitBase) -> float | None:
    parsed = _parsed(unit, to)
    return None if parsed is None else float(parsed.to(to))


def _parsed(unit: str, to: units.UnitBase | None = None) -> units.UnitBase | None:
    """A unit in the first spelling and form that is one and can be converted; None without any."""
    for spelling in (_SPELLINGS.get(unit.strip().lower(), unit.strip()), unit.strip().lower()):
        for form in (None, "fits", "cds", "ogip"):
            try:
                with warnings.catch_warnings():  # that several slashes are discouraged
                    warnings.simplefilter("ignore", units.UnitsWarning)
                    parsed = units.Unit(spelling, format=form)
            except (ValueError, TypeError):
                continue
            if to is None or parsed.is_equivalent(to):
                return parsed
    return None
