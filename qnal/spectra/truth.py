"""Truth tables of visual inspection: TARGETID → class, redshift, BAL (FORMATS.md section 4)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table

from qnal.errors import InputError
from qnal.spectra.label import labels

GOOD_QUALITY = 2.5
UNRESOLVED = 999
CONFLICT_QUALITY = 2.0
CONFLICT_DZ = 0.0033
SPECTYPES = ("STAR", "GALAXY", "QSO")

# Column names of all dialects, compared without case, spaces or underscores.
_ALIASES = {
    "TARGETID": ("targetid",),
    "Z": ("viz", "bestz"),
    "QUALITY": ("viquality", "bestquality", "viclass"),
    "SPECTYPE": ("viclass", "vispectype", "bestspectype"),
    "COMMENT": ("vicomment", "allvicomments"),
    "REDROCK_Z": ("redrockz",),
    "REDROCK_SPECTYPE": ("redrockspectype",),
}


@dataclass(frozen=True)
class Truth:
    """What inspectors said of a set of targets.

    Attributes:
        table: index TARGETID (int64, unique); columns LABEL (:class:`Label`), Z, BAL (+1 BAL,
            −1 none, 0 unknown).
        counts: how many targets and rows were used or left out, and why.
    """

    table: pd.DataFrame
    counts: dict[str, int] = field(default_factory=dict)


def read_truth(paths: Sequence[Path], high_z: float, bal_recorded: bool = False) -> Truth:
    """Read and merge inspection tables (CSV or FITS) of any dialect.

    Rows of several inspectors are reconciled: the mean quality; a target whose inspectors differ
    by 2 or more in quality, by 0.0033(1+z) or more in redshift, or in class is left out as a
    conflict. Quality 999 (unresolved) and unknown classes are left out.

    Args:
        paths: the tables.
        high_z: redshift from which a quasar is QSO_HZ.
        bal_recorded: the campaign noted every BAL, so that a quasar without the comment has none.

    Raises:
        InputError: a table is broken, or lacks the columns of every dialect.
    """
    rows = pd.concat([_read_one(path) for path in paths], ignore_index=True)
    counts = {"truth_rows": len(rows)}
    known = rows["SPECTYPE"].isin(SPECTYPES)
    unresolved = rows["QUALITY"] == UNRESOLVED
    unset = ~(rows["QUALITY"] >= 0) | ~np.isfinite(rows["Z"])
    counts["truth_unresolved"] = int(unresolved.sum())
    counts["truth_unset"] = int((unset & ~unresolved).sum())
    counts["truth_unknown_class"] = int((~known & ~unresolved & ~unset).sum())
    rows = rows[known & ~unresolved & ~unset]

    targets = rows.groupby("TARGETID", sort=True)
    first = targets.first()
    spread = targets.agg(
        quality=("QUALITY", lambda q: q.max() - q.min()),
        z=("Z", lambda z: (z.max() - z.min()) / (1 + z.min())),
        classes=("SPECTYPE", "nunique"),
    )
    conflict = (
        (spread["quality"] >= CONFLICT_QUALITY)
        | (spread["z"] >= CONFLICT_DZ)
        | (spread["classes"] > 1)
    )
    counts["truth_repeated"] = int((targets.size() > 1).sum())
    counts["truth_conflicts"] = int(conflict.sum())
    says_bal = targets["COMMENT"].agg(lambda c: c.str.contains(r"\bBAL\b", regex=True).any())
    quality, z = targets["QUALITY"].mean(), targets["Z"].mean()
    confident = quality >= GOOD_QUALITY
    spectype = first["SPECTYPE"]
    no_bal = confident & ((spectype != "QSO") | bal_recorded)
    table = pd.DataFrame(
        {
            "LABEL": labels(
                spectype.to_numpy(str), z.to_numpy(float), confident.to_numpy(bool), high_z
            ),
            "Z": z.astype(float),
            "BAL": np.select([says_bal, no_bal], [1, -1], 0).astype(np.int8),
        },
        index=first.index,
    )[~conflict]
    counts["truth_targets"] = len(table)
    return Truth(table, counts)


def _read_one(path: Path) -> pd.DataFrame:
    """One table in common columns; TARGETID is read as text and never passes through a float."""
    try:
        if path.name.endswith((".fits", ".fits.gz")):
            raw = Table.read(path, hdu=1).to_pandas()
        else:
            raw = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [repr(error)]
        raise InputError(f"{path}: not a readable truth table ({reason[0]}).") from error
    found: dict[str, str] = {}
    for name, aliases in _ALIASES.items():
        plain = {str(c).lower().replace("_", "").replace(" ", ""): c for c in raw.columns}
        # On raw pages "VI class" is the quality; in QuasarNET's tables VI_CLASS is the class.
        present = [plain[a] for a in aliases if a in plain and plain[a] not in found.values()]
        if name == "QUALITY" and present and present[0] == plain.get("viclass"):
            present = present if "vispectype" in plain else []
        if present:
            found[name] = present[0]
    missing = [n for n in ("TARGETID", "Z", "QUALITY", "SPECTYPE") if n not in found]
    if missing:
        raise InputError(
            f"{path}: no column for {', '.join(missing)}; a truth table has TARGETID, a redshift "
            "(VI_Z, best_z), a quality (VI_QUALITY, best_quality) and a class (VI_CLASS, "
            f"VI_SPECTYPE, best_spectype), this one has {', '.join(map(str, raw.columns))}."
        )
    text = {n: raw[c].map(_text) for n, c in found.items() if n != "TARGETID"}
    spectype = text["SPECTYPE"].str.upper()
    z = text["Z"]
    if "REDROCK_Z" in text:
        z = z.where(z != "", text["REDROCK_Z"])
    if "REDROCK_SPECTYPE" in text:
        spectype = spectype.where(spectype != "", text["REDROCK_SPECTYPE"].str.upper())
    comment = text.get("COMMENT", pd.Series("", index=raw.index))
    return pd.DataFrame(
        {
            "TARGETID": _targetids(raw[found["TARGETID"]], path),
            "Z": _numbers(z, found["Z"], path),
            "QUALITY": _numbers(text["QUALITY"], found["QUALITY"], path),
            "SPECTYPE": spectype,
            "COMMENT": comment,
        }
    )


def _text(value: object) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _targetids(column: pd.Series, path: Path) -> np.ndarray:
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.to_numpy(np.int64)
    try:
        return np.array([int(_text(v)) for v in column], np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: a TARGETID is not a 64-bit integer ({error}).") from error


def _numbers(column: pd.Series, name: str, path: Path) -> pd.Series:
    """Numbers of a text column, NaN where it is empty."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & ~column.str.lower().isin(["", "nan", "none", "--", "<na>"])
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}: {name} is {column.iloc[row]!r} in row {row + 1}, not a number.")
    return numbers.astype(float)
