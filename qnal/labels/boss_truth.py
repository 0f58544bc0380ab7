"""What inspectors said of BOSS spectra: truth_dr12q tables (FORMATS.md section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.errors import InputError
from qnal.labels.label import labels
from qnal.labels.truth import CONFLICT_DZ, Truth
from qnal.spectra.fits import integers, opened
from qnal.spectra.readers.sdss import NO_TARGETID

PLATE_COLUMNS = (("PLATE", "MJD", "FIBERID"), ("SPID0", "SPID1", "SPID2"))


@dataclass(frozen=True)
class Dialect:
    """Names and codes of one kind of truth table."""

    z: str
    spectype: str
    confidence: str
    confident: int
    codes: dict[int, str]


# Z_CONF_PERSON of the DR12Q superset is 3 where the inspector was confident, the later Z_CONF is 2.
_DIALECTS = (
    Dialect(
        "Z_VI", "CLASS_PERSON", "Z_CONF_PERSON", 3, {1: "STAR", 4: "GALAXY", 3: "QSO", 30: "QSO"}
    ),
    Dialect("Z", "OBJCLASS", "Z_CONF", 2, {1: "STAR", 2: "GALAXY", 3: "QSO"}),
)
_IDS = ("THING_ID", "TARGETID")


def read_boss_truth(paths: Sequence[Path], high_z: float) -> Truth:
    """Read truth tables of either dialect; uninspected rows are left out.

    BAL is +1 with a flag and BI_CIV > 0, −1 with neither, 0 where they disagree or BI_CIV is NaN.
    Repeated rows of one target are merged, and left out where they differ in class, confidence or
    redshift.

    Raises:
        InputError: a table is broken, or lacks the columns of both dialects.
    """
    rows = pd.concat([_read_one(path) for path in paths], ignore_index=True)
    counts = {"truth_rows": len(rows)}
    anonymous = rows["TARGETID"] == NO_TARGETID
    inspected = rows["INSPECTED"]
    known = ~rows["CONFIDENT"] | (rows["SPECTYPE"].notna() & np.isfinite(rows["Z"]))
    counts["truth_without_id"] = int(anonymous.sum())
    counts["truth_uninspected"] = int((~anonymous & ~inspected).sum())
    counts["truth_unknown_class"] = int((~anonymous & inspected & ~known).sum())
    rows = rows[~anonymous & inspected & known]
    targets = rows.groupby("TARGETID", sort=True)
    z = targets["Z"]
    conflict = (
        (targets[["SPECTYPE", "CONFIDENT"]].nunique() > 1).any(axis=1)
        | (z.max() - z.min() >= CONFLICT_DZ * (1 + z.min()))
    )  # fmt: skip
    size = targets.size()
    counts["truth_conflicts"] = int(conflict.sum())
    counts["truth_conflict_rows"] = int(size[conflict].sum())
    counts["truth_merged_rows"] = int((size[~conflict] - 1).sum())
    counts["truth_targets"] = int((~conflict).sum())
    table = targets[["Z", "CONFIDENT", "SPECTYPE"]].first()
    # Repeated rows that differ in BAL leave it open.
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
    with opened(path) as fits:
        if not fits.is_table(1):
            raise InputError(f"{path}: HDU1 is no table; a BOSS truth file has its table there.")
        data = fits.table(1)
    key = next((name for name in _IDS if name in data), None)
    dialect = next((d for d in _DIALECTS if {d.z, d.spectype, d.confidence} <= data.keys()), None)
    missing = [name for name in ("BAL_FLAG_VI", "BI_CIV") if name not in data]
    if key is None or dialect is None or missing:
        raise InputError(
            f"{path}: it has columns {', '.join(data)}; a BOSS truth table has THING_ID or "
            "TARGETID, and Z_VI, CLASS_PERSON, Z_CONF_PERSON or Z, OBJCLASS, Z_CONF, and "
            "BAL_FLAG_VI, BI_CIV."
        )
    codes, confidence = data[dialect.spectype], data[dialect.confidence]
    flag, bi = data["BAL_FLAG_VI"] > 0, data["BI_CIV"]
    rows = pd.DataFrame(
        {
            "TARGETID": integers(data[key], key, path),
            "Z": data[dialect.z].astype(float),
            "SPECTYPE": pd.Series(integers(codes, dialect.spectype, path)).map(dialect.codes),
            "CONFIDENT": confidence == dialect.confident,
            "INSPECTED": (codes > 0) | (confidence > 0),
            "BAL": ((flag & (bi > 0)).astype(int) - (~flag & (bi == 0))).astype(np.int8),
        }
    )
    named = next((names for names in PLATE_COLUMNS if set(names) <= data.keys()), None)
    for column, name in zip(PLATE_COLUMNS[0], named or (None,) * 3, strict=True):
        rows[column] = -1 if name is None else integers(data[name], name, path)
    return rows
