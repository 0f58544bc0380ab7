"""Priors for re-runs of Redrock, as its option ``--priors`` reads them.

HDU ``PRIORS``: TARGETID, FUNCTION (``tophat``), Z (its centre, the redshift of the ensemble) and
SIGMA (its full width). The header states the rule by which the targets were chosen.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.files import written_aside
from qnal.scores.qso_qn import fits_table
from qnal.scores.rerun import RerunRule

DTYPE = np.dtype([("TARGETID", "i8"), ("FUNCTION", "S6"), ("Z", "f8"), ("SIGMA", "f8")])


def write_priors(
    path: Path, part: pa.Table, rows: NDArray[np.bool_], rule: RerunRule, every_quasar: bool
) -> int:
    """Write priors for some rows of a part; no file is left where there are none.

    Args:
        path: the file.
        part: scores of one coadd.
        rows: which of its rows.
        rule: gives the width.
        every_quasar: whether the rows are all quasars, for the header.

    Returns:
        Number of targets.
    """
    if not rows.any():
        path.unlink(missing_ok=True)
        return 0
    chosen = part.filter(pa.array(rows))
    table = np.zeros(len(chosen), DTYPE)
    table["TARGETID"] = chosen["TARGETID"]
    table["FUNCTION"] = b"tophat"
    table["Z"] = chosen["Z"].to_numpy()
    table["SIGMA"] = rule.width(table["Z"])
    which = "all quasars" if every_quasar else "Redrock: no QSO, or |Z_RR-Z| > SIGMA/2"
    header: list[dict[str, object]] = [
        {"name": "TARGETS", "value": which, "comment": "which"},
        {"name": "QSOCONF", "value": rule.confidence, "comment": "quasar: max mean C above this"},
        {"name": "WIDTH", "value": rule.scale, "comment": "SIGMA / (1+Z)"},
    ]
    with written_aside(path) as scratch:
        scratch.write_bytes(fits_table(table, "PRIORS", header))
    return len(chosen)
