"""Scores as the tables that DESI's quasar afterburner writes (docs/formats.md).

One ``qso_qn-*.fits`` per coadd, in a tree like the pool's, whose HDU ``QN_RR`` has one row per
spectrum. Columns that need a run of Redrock are empty. The thresholds are in the header.
"""

from pathlib import Path

import fitsio
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.votes import Thresholds
from qnal.files import written_aside
from qnal.lines import column_names

PREFIX = "qso_qn"


def qso_qn_name(coadd: str) -> str:
    """``a/qso_qn-0-1-2.fits`` for ``a/coadd-0-1-2.fits.gz``."""
    folder, slash, name = coadd.rpartition("/")
    name = name.removesuffix(".gz")
    new = (
        name.replace("coadd-", f"{PREFIX}-", 1) if name.startswith("coadd-") else f"{PREFIX}-{name}"
    )
    return f"{folder}{slash}{new}"


def qso_qn_dtype(lines: tuple[str, ...]) -> np.dtype:
    """Columns of a QN_RR table with these lines."""
    short = column_names(lines)
    return np.dtype(
        [
            ("TARGETID", "i8"),
            ("RA", "f8"),
            ("DEC", "f8"),
            ("DESI_TARGET", "i8"),
            ("SPECTYPE_RR", "S6"),
            ("Z_RR", "f8"),
            ("IS_QSO_QN_NEW_RR", "?"),
            ("Z_QN", "f4"),
            *((f"C_{name}", "f4") for name in short),
            *((f"Z_{name}", "f4") for name in short),
            ("Z_NEW", "f8"),
            ("ZERR_NEW", "f4"),
            ("COEFFS", "f4", (10,)),
        ]
    )


def write_qso_qn(
    path: Path, scores: pa.Table, lines: tuple[str, ...], thresholds: Thresholds, members: int
) -> None:
    """Write the scores of one coadd as a QN_RR table.

    IS_QSO_QN_NEW_RR is true if most members vote quasar: without a first run of Redrock to compare
    with, Redrock would be run again for each of these. Unknown floats are NaN, unknown integers 0.
    """
    table = np.zeros(len(scores), qso_qn_dtype(lines))
    table["TARGETID"] = scores["TARGETID"]
    table["DESI_TARGET"] = scores["DESI_TARGET"].fill_null(0)
    table["IS_QSO_QN_NEW_RR"] = _numbers(scores, "C_NOT") < 0.5  # NaN is not
    copied = {"RA": "TARGET_RA", "DEC": "TARGET_DEC", "Z_QN": "Z"}
    copied |= {n: n for n in table.dtype.names or () if n in scores.column_names and n[1] == "_"}
    for name, source in copied.items():
        table[name] = _numbers(scores, source)
    for name in ("Z_RR", "Z_NEW", "ZERR_NEW", "COEFFS"):
        table[name] = np.nan
    header = [
        {"name": "C_THRESH", "value": thresholds.line_threshold, "comment": "line confidence"},
        {"name": "N_THRESH", "value": thresholds.min_lines, "comment": "lines that make a quasar"},
        {"name": "Z_THRESH", "value": thresholds.high_z, "comment": "from here on QSO_HZ"},
        {"name": "NMEMBERS", "value": members, "comment": "networks that voted"},
    ]
    with written_aside(path) as scratch:
        # Written from memory, because CFITSIO interprets "!" and brackets in a path.
        scratch.write_bytes(_fits(table, header))


def _fits(table: NDArray, header: list[dict[str, object]]) -> bytes:
    with fitsio.FITS("mem://", "rw") as fits:
        fits.write(table, extname="QN_RR", header=header)
        content: bytes = fits.read_raw()
    return content


def _numbers(scores: pa.Table, name: str) -> NDArray:
    return scores[name].to_numpy()
