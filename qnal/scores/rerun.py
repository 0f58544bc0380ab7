"""For which targets DESI runs Redrock again, and with which redshift prior.

The rule is that of desispec's quasar afterburner: a spectrum is a quasar if its largest line
confidence exceeds a threshold, and Redrock is run again, with quasar templates and a tophat prior,
where its first result is no quasar or lies outside of the prior.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.lines import column_names
from qnal.spectra.grid import Grid
from qnal.spectra.redrock import QSO

F8 = NDArray[np.float64]


def prior_scale(grid: Grid, boxes: int) -> float:
    """Width of the prior in units of 1+z, twice that of a box: 0.163 for 13 boxes of the log grid.

    On the linear grid, where the width of a box in 1+z varies, this is that of the same number of
    boxes of equal width in log(λ), as in desispec.
    """
    return float(2 * (10 ** (np.log10(grid.wave[-1] / grid.wave[0]) / boxes) - 1))


@dataclass(frozen=True)
class RerunRule:
    """Which targets Redrock is run on again.

    Attributes:
        lines: names of the lines of the scores.
        scale: width of the prior in units of 1+z.
        confidence: largest mean line confidence above which a spectrum is a quasar.
    """

    lines: tuple[str, ...]
    scale: float
    confidence: float = 0.5

    def width(self, z: F8) -> F8:
        """Width of the prior at these redshifts."""
        return self.scale * (1 + z)

    def is_quasar(self, part: pa.Table) -> NDArray[np.bool_]:
        """Which spectra of a part are quasars by their line confidences."""
        return largest_confidence(part, self.lines) > self.confidence  # NaN is not

    def is_inside(self, z: F8, z_qn: F8) -> NDArray[np.bool_]:
        """Whether redshifts lie within the prior around others; NaN does not."""
        return np.abs(z - z_qn) <= self.width(z_qn) / 2

    def is_needed(self, part: pa.Table, z_rr: F8, spectype: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Which spectra are quasars whose redshift Redrock has not confirmed.

        Args:
            part: the scores, n rows.
            z_rr: redshifts of Redrock, NaN where there are none, shape [n].
            spectype: classes of Redrock, empty where there are none, shape [n].
        """
        confirmed = (spectype == QSO) & self.is_inside(z_rr, part["Z"].to_numpy().astype(float))
        return self.is_quasar(part) & ~confirmed


def largest_confidence(part: pa.Table, lines: Sequence[str]) -> F8:
    """The largest mean confidence of the emission lines, NaN for rows without scores."""
    each = [part[f"C_{name}"].to_numpy().astype(float) for name in column_names(lines)]
    return np.max(each, axis=0)
