"""Redshift pile-ups: bins of N(z) that hold many more quasars than their surroundings.

Real quasars have a smooth distribution. A bin far above it points to an artefact: a line that is
seen where two cameras join or on a residual of a sky line, or the end of Redrock's templates.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from qnal.lines import REST_WAVELENGTH, column_names
from qnal.scores.redshift_counts import FAR, LEAST, SMOOTHED, Z_BIN, RedshiftCounts, coarse, smooth

# Å in vacuum: overlaps of DESI's cameras, and the brightest lines and band heads of the night sky
JOINS = {"B and R": (5760.0, 5800.0), "R and Z": (7520.0, 7620.0)}
ATOMIC_LINES = (5578.9, 5891.6, 5897.6, 6302.0, 6365.5)
OH_LINES = (7278.3, 7342.9, 7752.8, 7796.3, 7966.8, 8346.9, 8401.5, 8432.5, 8829.5, 8888.3, 8922.0)
SKY_LINES = (*ATOMIC_LINES, *OH_LINES, 9378.4, 9442.0, 9505.3, 9722.0)
TEMPLATE_END = (1.55, 1.72)
WIDTH = SMOOTHED * Z_BIN


def pile_ups(counts: RedshiftCounts, lines: Sequence[str]) -> pd.DataFrame:
    """Table of the bins that lie more than FAR standard deviations above the smooth curve.

    Returns:
        SOURCE (ensemble or redrock), Z_LOW, Z_HIGH, N, EXPECTED, SIGMA, and COINCIDES, which names
        what lies there.
    """
    rows = []
    for source in ("ensemble", "redrock"):
        found = coarse(counts.histogram(source))
        expected = smooth(found)
        sigma = (found - expected) / np.sqrt(np.maximum(expected, 1))
        for k in np.flatnonzero((sigma > FAR) & (found >= LEAST)):
            low, high = k * WIDTH, (k + 1) * WIDTH
            rows.append(
                (source, round(low, 6), round(high, 6), int(found[k]), round(float(expected[k]), 2))
                + (round(float(sigma[k]), 1), coincidences(low, high, lines))
            )
    columns = ["SOURCE", "Z_LOW", "Z_HIGH", "N", "EXPECTED", "SIGMA", "COINCIDES"]
    return pd.DataFrame(rows, columns=columns)


def coincidences(low: float, high: float, lines: Sequence[str]) -> str:
    """What lies at the lines of a quasar between two redshifts, in words."""
    words = []
    for name, short in zip(lines, column_names(lines), strict=True):
        first, last = REST_WAVELENGTH[name] * (1 + low), REST_WAVELENGTH[name] * (1 + high)
        joins = [which for which, (a, b) in JOINS.items() if first < b and last > a]
        words += [f"{short} where {which} join" for which in joins]
        sky = [line for line in ATOMIC_LINES if first < line < last]
        words += [f"{short} on the sky line at {line:.0f} Å" for line in sky]
    if low < TEMPLATE_END[1] and high > TEMPLATE_END[0]:
        words.append("end of the galaxy templates")
    return "; ".join(words)
