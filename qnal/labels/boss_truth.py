"""Truth tables of BOSS: the superset of the DR12 quasar catalogue (docs/formats.md)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.errors import InputError
from qnal.labels.label import labels
from qnal.labels.truth import CONFLICT_DZ, Truth, count_targets
from qnal.spectra.fits import integers, open_fits
from qnal.spectra.readers.sdss import NO_TARGETID

PLATE_COLUMNS = (("PLATE", "MJD", "FIBERID"), ("SPID0", "SPID1", "SPID2"))


@dataclass(frozen=True)
class _Format:
    """Columns and codes of one kind of truth table.

    Attributes:
        z, spectype, confidence: names of columns.
        confident: value of ``confidence`` of a confident inspector.
        codes: classes by their values of ``spectype``; others are unknown.
    """

    z: str
    spectype: str
    confidence: str
    confident: int
    codes: dict[int, str]


_FORMATS = (
    _Format(
        "Z_VI", "CLASS_PERSON", "Z_CONF_PERSON", 3, {1: "STAR", 4: "GALAXY", 3: "QSO", 30: "QSO"}
    ),
    _Format("Z", "OBJCLASS", "Z_CONF", 2, {1: "STAR", 2: "GALAXY", 3: "QSO"}),
)
_IDS = ("THING_ID", "TARGETID")


def read_boss_truth(paths: Sequence[Path], high_z: float) -> Truth:
    """Read and merge truth tables; spectra that were not inspected are left out.

    BAL is +1 if BAL_FLAG_VI is set and BI_CIV > 0, −1 if neither, and 0 if they disagree or BI_CIV
    is NaN. Rows of one target are merged; the target is left out as a conflict if they differ in
    class, confidence or redshift.

    Args:
        paths: the tables, each in one of two formats (``Z_VI``, ``CLASS_PERSON``,
            ``Z_CONF_PERSON``, or ``Z``, ``OBJCLASS``, ``Z_CONF``).
        high_z: redshift from which a quasar is QSO_HZ.

    Raises:
        InputError: a table is damaged, or lacks required columns.
    """
    rows = pd.concat([_read_one(path) for path in paths], ignore_index=True)
    counts = {"truth_rows": len(rows)}
    without_id = rows["TARGETID"] == NO_TARGETID
    inspected = rows["INSPECTED"]
    known = ~rows["CONFIDENT"] | (rows["SPECTYPE"].notna() & np.isfinite(rows["Z"]))
    counts["truth_without_id"] = int(without_id.sum())
    counts["truth_uninspected"] = int((~without_id & ~inspected).sum())
    counts["truth_unknown_class"] = int((~without_id & inspected & ~known).sum())
    rows = rows[~without_id & inspected & known]
    targets = rows.groupby("TARGETID", sort=True)
    z = targets["Z"]
    conflict = (
        (targets[["SPECTYPE", "CONFIDENT"]].nunique() > 1).any(axis=1)
        | (z.max() - z.min() >= CONFLICT_DZ * (1 + z.min()))
    )  # fmt: skip
    counts |= count_targets(targets.size(), conflict)
    table = targets[["Z", "CONFIDENT", "SPECTYPE"]].first()
    # Unknown if the rows of a target differ.
    bal = targets["BAL"]
    table["BAL"] = bal.min().where(bal.min() == bal.max(), 0).astype(np.int8)
    table["LABEL"] = labels(
        table["SPECTYPE"].fillna("").to_numpy(str),
        table["Z"].to_numpy(float),
        table["CONFIDENT"].to_numpy(bool),
        high_z,
    )
    spectra = {
        (int(p), int(m), int(f)): int(t)
        for p, m, f, t in rows[[*PLATE_COLUMNS[0], "TARGETID"]].itertuples(index=False)
        if p >= 0
    }
    return Truth(table.loc[~conflict, ["LABEL", "Z", "BAL"]], counts, spectra)


def _read_one(path: Path) -> pd.DataFrame:
    with open_fits(path) as fits:
        if not fits.is_table(1):
            raise InputError(f"{path}: HDU1 is not a table; a BOSS truth file has its table there.")
        data = fits.table(1)
    key = next((name for name in _IDS if name in data), None)
    names = next((f for f in _FORMATS if {f.z, f.spectype, f.confidence} <= data.keys()), None)
    missing = [name for name in ("BAL_FLAG_VI", "BI_CIV") if name not in data]
    if key is None or names is None or missing:
        raise InputError(
            f"{path}: it has columns {', '.join(data)}; a BOSS truth table has THING_ID or "
            "TARGETID, and Z_VI, CLASS_PERSON, Z_CONF_PERSON or Z, OBJCLASS, Z_CONF, and "
            "BAL_FLAG_VI, BI_CIV."
        )
    codes, confidence = data[names.spectype], data[names.confidence]
    flag, bi = data["BAL_FLAG_VI"] > 0, data["BI_CIV"]
    rows = pd.DataFrame(
        {
            "TARGETID": integers(data[key], key, path),
            "Z": data[names.z].astype(float),
            "SPECTYPE": pd.Series(integers(codes, names.spectype, path)).map(names.codes),
            "CONFIDENT": confidence == names.confident,
            "INSPECTED": (codes > 0) | (confidence > 0),
            "BAL": ((flag & (bi > 0)).astype(int) - (~flag & (bi == 0))).astype(np.int8),
        }
    )
    plate = next((columns for columns in PLATE_COLUMNS if set(columns) <= data.keys()), None)
    for column, name in zip(PLATE_COLUMNS[0], plate or (None,) * 3, strict=True):
        rows[column] = -1 if name is None else integers(data[name], name, path)
    return rows
