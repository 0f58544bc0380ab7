"""Spectra within a range of redshift, magnitude or signal-to-noise ratio."""

import math
import re

from qnal.errors import ConfigError
from qnal.query.candidates import Candidates
from qnal.query.filters.filter import Filter


class Window(Filter):
    """Keep spectra with a number in a range; those where it is unknown are dropped.

    Attributes:
        value: SQL expression of the number.
        lowest: lower limit, inclusive; None for no limit.
        highest: upper limit, inclusive; None for no limit.
    """

    optional = False
    value: str
    lowest: float | None
    highest: float | None

    def _set_range(self, what: str, lowest: float | None, highest: float | None) -> None:
        limits = [limit for limit in (lowest, highest) if limit is not None]
        if not limits or not all(map(math.isfinite, limits)) or limits != sorted(limits):
            raise ConfigError(
                f"{what}: the range from {lowest} to {highest} cannot be used; it takes one limit "
                "or two in ascending order"
            )
        self.lowest, self.highest = lowest, highest
        low = "" if lowest is None else f"{lowest:g} ≤ "
        high = "" if highest is None else f" ≤ {highest:g}"
        self.name = f"{low}{what}{high}"

    def keep(self, candidates: Candidates) -> str:
        """See :meth:`Filter.keep`."""
        low = -math.inf if self.lowest is None else self.lowest
        high = math.inf if self.highest is None else self.highest
        # Two comparisons that are both false for NaN, which DuckDB sorts above all numbers.
        condition = f"NOT isnan({self.value}) AND {self.value} BETWEEN '{low!r}'::DOUBLE"
        return f"FROM {candidates.rows} WHERE {condition} AND '{high!r}'::DOUBLE"


class RedshiftWindow(Window):
    """Keep spectra with a redshift by the ensemble (column Z) in a range.

    It looks at what the networks say, so control picks are drawn before it.
    """

    columns = ("Z",)
    interesting = True

    def __init__(self, lowest: float | None = None, highest: float | None = None) -> None:
        self.value = "Z::DOUBLE"
        self._set_range("z", lowest, highest)


class MagnitudeWindow(Window):
    """Keep spectra with an AB magnitude, 22.5 − 2.5 lg(flux in nanomaggies), in a range.

    Args:
        brightest: lowest magnitude.
        faintest: highest magnitude.
        band: g, r or z.
    """

    def __init__(
        self, brightest: float | None = None, faintest: float | None = None, band: str = "r"
    ) -> None:
        if band not in ("g", "r", "z"):
            raise ConfigError(f"band={band} cannot be used; it takes g, r or z")
        flux = f"FLUX_{band.upper()}"
        self.columns = (flux,)
        self.value = f"CASE WHEN {flux} > 0 THEN 22.5 - 2.5 * log10({flux}::DOUBLE) END"
        self._set_range(band, brightest, faintest)


class SignalToNoiseWindow(Window):
    """Keep spectra with a median signal-to-noise ratio per pixel in a range.

    Args:
        lowest: lower limit.
        highest: upper limit.
        camera: an arm of the spectrograph, such as B, R or Z.
    """

    def __init__(
        self, lowest: float | None = None, highest: float | None = None, camera: str = "R"
    ) -> None:
        if not re.fullmatch(r"\w+", camera):
            raise ConfigError(f"camera={camera} cannot be used; it takes the name of an arm")
        self.columns = (f"SNR_{camera}",)
        self.value = f"SNR_{camera}::DOUBLE"
        self._set_range(f"S/N in {camera}", lowest, highest)
