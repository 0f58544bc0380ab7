"""Scores as the tables that DESI's quasar afterburner writes (docs/redrock.md).

One ``qso_qn-*.fits`` per coadd, in a tree like the pool's, whose HDU ``QN_RR`` has the rows of
Redrock's results in their order and the columns of desispec 0.70. desispec takes the redshift of a
quasar from Z_NEW where IS_QSO_QN_NEW_RR is true and from Redrock elsewhere. Both are right only if
Redrock was run again for every target on which it disagrees with the ensemble; a table is written
only then.
"""

from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.files import written_aside
from qnal.lines import column_names
from qnal.scores.rerun import RerunRule
from qnal.spectra.redrock import COEFFICIENTS, RedrockResults

PREFIX, PRIORS_PREFIX = "qso_qn", "priors"
CATALOGUE = 0.99  # confidence above which desispec's catalogue (validredshifts) takes a quasar


def renamed_coadd(coadd: str, prefix: str) -> str:
    """``a/PREFIX-0-1-2.fits`` for ``a/coadd-0-1-2.fits.gz``."""
    folder, slash, name = coadd.rpartition("/")
    name = name.removesuffix(".gz")
    is_coadd = name.startswith("coadd-")
    new = name.replace("coadd-", f"{prefix}-", 1) if is_coadd else f"{prefix}-{name}"
    return f"{folder}{slash}{new}"


def qso_qn_dtype(lines: tuple[str, ...], targeting: str = "DESI_TARGET") -> np.dtype:
    """Columns of a QN_RR table with these lines; ``targeting`` is the survey's column of bits."""
    short = column_names(lines)
    return np.dtype(
        [
            ("TARGETID", "i8"),
            ("RA", "f8"),
            ("DEC", "f8"),
            (targeting, "i8"),
            ("SPECTYPE_RR", "S6"),
            ("Z_RR", "f8"),
            ("IS_QSO_QN_NEW_RR", "?"),
            ("Z_QN", "f4"),
            *((f"C_{name}", "f4") for name in short),
            *((f"Z_{name}", "f4") for name in short),
            ("Z_NEW", "f8"),
            ("ZERR_NEW", "f4"),
            ("ZWARN_NEW", "i8"),
            ("SPECTYPE_NEW", "S3"),
            ("SUBTYPE_NEW", "S3"),
            ("CHI2_NEW", "f4"),
            ("DELTACHI2_NEW", "f4"),
            ("COEFF_NEW", "f4", (COEFFICIENTS,)),
        ]
    )


@dataclass(frozen=True)
class QsoQn:
    """How QN_RR tables are made.

    Attributes:
        rule: which targets need a re-run of Redrock.
        thresholds: of the members' votes, for the header.
        members: number of members.
    """

    rule: RerunRule
    thresholds: Thresholds
    members: int

    def write(
        self,
        path: Path,
        part: pa.Table,
        first: RedrockResults,
        again: RedrockResults | None,
        targeting: str = "DESI_TARGET",
    ) -> None:
        """Write the table of one coadd.

        Args:
            path: the file.
            part: scores of the coadd.
            first: Redrock's results.
            again: results of Redrock run again with a prior; None: it was not.
            targeting: name of the column of targeting bits.

        Raises:
            InputError: a target that needs a re-run has no answer of one, or one outside of the
                prior.
        """
        table = self._table(part, first, again, targeting)
        content = fits_table(table, "QN_RR", self._header())
        with written_aside(path) as scratch:
            scratch.write_bytes(content)

    def _table(
        self, part: pa.Table, first: RedrockResults, again: RedrockResults | None, targeting: str
    ) -> NDArray:
        part, scored = _in_order_of(first, part)
        table = np.zeros(len(first), qso_qn_dtype(self.rule.lines, targeting))
        table["TARGETID"] = first.targetid
        table["SPECTYPE_RR"] = first.spectype.astype("S6")
        table["Z_RR"] = first.z
        table[targeting] = part["DESI_TARGET"].fill_null(0)
        copied = {"RA": "TARGET_RA", "DEC": "TARGET_DEC", "Z_QN": "Z"}
        copied |= {
            f"{kind}_{name}": f"{kind}_{name}"
            for kind in "CZ"
            for name in column_names(self.rule.lines)
        }
        for name, source in copied.items():
            table[name] = part[source].to_numpy()
        for name in ("Z_NEW", "ZERR_NEW", "CHI2_NEW", "DELTACHI2_NEW", "COEFF_NEW"):
            table[name] = np.nan
        needed = scored & self.rule.is_needed(part, first.z, first.spectype)
        table["IS_QSO_QN_NEW_RR"] = needed
        if needed.any():
            self._fill(table, needed, again)
        return table

    def _fill(
        self, table: NDArray, needed: NDArray[np.bool_], again: RedrockResults | None
    ) -> None:
        """Fill in the results of the re-run, all of which must be there."""
        n = int(needed.sum())
        if again is None:
            raise InputError(f"{n} targets need a re-run of Redrock (data.redrock_rerun)")
        row = again.rows_of(table["TARGETID"][needed])
        z = np.where(row >= 0, again.z[row], np.nan)
        unanswered = int((~np.isfinite(z)).sum())
        if unanswered:
            raise InputError(
                f"{again.path} has no redshift for {unanswered} of the {n} targets that need one"
            )
        outside = int((~self.rule.is_inside(z, table["Z_QN"][needed].astype(float))).sum())
        if outside:
            raise InputError(
                f"{outside} of {n} redshifts in {again.path} lie outside of the prior; the file "
                "was made with another prior or ensemble"
            )
        for name in ("ZERR", "ZWARN", "CHI2", "DELTACHI2", "COEFF"):
            table[f"{name}_NEW"][needed] = getattr(again, name.lower())[row]
        table["Z_NEW"][needed] = z
        table["SPECTYPE_NEW"][needed] = again.spectype[row].astype("S3")
        table["SUBTYPE_NEW"][needed] = again.subtype[row].astype("S3")

    def _header(self) -> list[dict[str, object]]:
        thresholds, rule = self.thresholds, self.rule
        return [
            {"name": "C_MEANS", "value": True, "comment": "C_* are means over an ensemble"},
            {"name": "NMEMBERS", "value": self.members, "comment": "its networks"},
            {"name": "QSOCONF", "value": rule.confidence, "comment": "quasar: max C_* above this"},
            {"name": "WIDTH", "value": rule.scale, "comment": "of the prior, in units of 1+Z_QN"},
            {
                "name": "C_THRESH",
                "value": thresholds.line_threshold,
                "comment": "line confidence of a member's vote",
            },
            {
                "name": "N_THRESH",
                "value": thresholds.min_lines,
                "comment": "lines of a member's vote",
            },
            {"name": "Z_THRESH", "value": thresholds.high_z, "comment": "from here on QSO_HZ"},
        ]


def accepted_by_catalogue(table: NDArray, lines: tuple[str, ...]) -> NDArray[np.bool_]:
    """Rows that desispec's catalogue takes for quasars because of C_* (``validredshifts``)."""
    confidences = [table[f"C_{name}"] for name in column_names(lines)]
    return np.max(confidences, axis=0) > CATALOGUE


def fits_table(table: NDArray, hdu: str, header: list[dict[str, object]]) -> bytes:
    """A FITS file of one table, made in memory: CFITSIO interprets "!" and brackets in a path."""
    with fitsio.FITS("mem://", "rw") as fits:
        fits.write(table, extname=hdu, header=header)
        content: bytes = fits.read_raw()
    return content


def _in_order_of(first: RedrockResults, part: pa.Table) -> tuple[pa.Table, NDArray[np.bool_]]:
    """Rows of a part in the order of Redrock's, null where there are none, and which there are."""
    targetid = part["TARGETID"].to_numpy()
    if not len(part):  # a condition left all targets out
        none = np.zeros(len(first), bool)
        return part.take(pa.array(np.zeros(len(first), int), mask=~none)), none
    order = np.argsort(targetid, kind="stable")
    at = np.searchsorted(targetid, first.targetid, sorter=order)
    row = order[np.minimum(at, len(order) - 1)]
    scored = targetid[row] == first.targetid
    return part.take(pa.array(row, mask=~scored)), scored
