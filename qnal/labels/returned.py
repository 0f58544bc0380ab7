"""Tables that came back from inspection: one row per inspector and target, checked strictly.

A truth table of a whole campaign may hold rows that cannot be used, which are counted. A table that
an inspector has just returned is refused instead, because it can still be corrected.
"""

import csv
import gzip
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.errors import InputError
from qnal.labels.inspection_table import is_fits, read_inspections
from qnal.labels.truth import BEST_QUALITY, GOOD_QUALITY, SPECTYPES

REDSHIFTS = (-0.1, 10)  # what an inspector can mean; stars move by less than 0.01 c


def read_returned(paths: Sequence[Path]) -> pd.DataFrame:
    """Read the tables of all inspectors, in any dialect of docs/formats.md.

    The inspector's name is taken from the column VI_scanner or, where a table has none, from the
    file: ``USER`` of ``desi-vi_TITLE_USER.csv``, else the file's name.

    Returns:
        Columns TARGETID, SPECTYPE ('' if not one of STAR, GALAXY and QSO), Z (NaN if unknown),
        QUALITY, COMMENT, INSPECTOR, TABLE (path). Rows that were not looked at (no quality, or −1)
        are left out. QUALITY is NaN if the row says "unresolved" (above 4).

    Raises:
        InputError: a table is damaged or cut off, a confident label has no class or no sensible
            redshift, or an inspector labelled a target twice.
    """
    rows = pd.concat([_read(path) for path in paths], ignore_index=True)
    again = rows.duplicated(["TARGETID", "INSPECTOR"], keep="first")
    if again.any():
        row = rows[again].iloc[0]
        same = (rows["TARGETID"] == row["TARGETID"]) & (rows["INSPECTOR"] == row["INSPECTOR"])
        tables = " and ".join(dict.fromkeys(Path(p).name for p in rows.loc[same, "TABLE"]))
        raise InputError(
            f"{tables}: {row['INSPECTOR']} labelled target {row['TARGETID']} twice; give each "
            "inspector's label of a target once."
        )
    return rows


def _read(path: Path) -> pd.DataFrame:
    if not is_fits(path):
        _check_lengths(path)
    rows = read_inspections(path)
    looked_at = rows["QUALITY"] >= 0
    rows = rows[looked_at].assign(TABLE=str(path))
    named = rows["INSPECTOR"] != ""
    rows["INSPECTOR"] = rows["INSPECTOR"].where(named, _name_from(path))
    rows["SPECTYPE"] = rows["SPECTYPE"].where(rows["SPECTYPE"].isin(["", *SPECTYPES]), "?")
    rows["QUALITY"] = rows["QUALITY"].where(rows["QUALITY"] <= BEST_QUALITY, np.nan)
    confident = rows["QUALITY"] >= GOOD_QUALITY
    has_z = np.isfinite(rows["Z"]) & (rows["Z"] > -1)
    for wrong, what in (
        (confident & ~rows["SPECTYPE"].isin(SPECTYPES), "a class (STAR, GALAXY or QSO)"),
        (confident & ~has_z, "a redshift"),
    ):
        if wrong.any():
            row = rows[wrong].iloc[0]
            raise InputError(
                f"{path}: target {row['TARGETID']} has quality {row['QUALITY']:g} but not {what}; "
                f"a label of quality {GOOD_QUALITY} or more needs both."
            )
    out_of_range = confident & ~rows["Z"].between(*REDSHIFTS)
    if out_of_range.any():
        row = rows[out_of_range].iloc[0]
        raise InputError(
            f"{path}: target {row['TARGETID']} has a redshift of {row['Z']:g}; a label of quality "
            f"{GOOD_QUALITY} or more needs one from {REDSHIFTS[0]} to {REDSHIFTS[1]}."
        )
    rows["SPECTYPE"] = rows["SPECTYPE"].where(rows["SPECTYPE"] != "?", "")
    rows["Z"] = rows["Z"].where(has_z, np.nan)
    return rows


def _name_from(path: Path) -> str:
    page = re.fullmatch(r"desi-vi_(?:.*_)?([^_]+)\.csv(?:\.gz)?", path.name, re.IGNORECASE)
    return page[1] if page else path.name.partition(".")[0]


def _check_lengths(path: Path) -> None:
    """Refuse what pandas would read otherwise than it was meant.

    That is a row with more or fewer values than the header, a column that is there twice, and a
    number at the very end of the file, which may have lost its last digits.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            text = file.read()
        lines = [line for line in csv.reader(io.StringIO(text), skipinitialspace=True) if line]
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable table of labels ({error}).") from error
    if len(lines) < 2:
        raise InputError(f"{path}: it has no rows; an inspection table has a header and labels.")
    header = [name.strip().lower() for name in lines[0]]
    twice = [name for name in lines[0] if name and header.count(name.strip().lower()) > 1]
    if twice:
        raise InputError(f"{path}: it has the column {twice[0]} twice; keep one of them.")
    for number, line in enumerate(lines[1:], 2):
        if len(line) > len(lines[0]):
            raise InputError(
                f"{path}: line {number} has {len(line)} values and the header {len(lines[0])}; "
                "write 2.1 instead of 2,1, and put comments with commas into double quotes."
            )
        if len(line) < len(lines[0]):
            raise InputError(
                f"{path}: line {number} has {len(line)} values and the header {len(lines[0])}; the "
                "file is cut off or damaged, so export it again."
            )
    if not text.endswith(("\n", "\r")) and re.fullmatch(r"\s*[-+]?[0-9.]+\s*", lines[-1][-1]):
        raise InputError(
            f"{path}: it ends with {lines[-1][-1]} in the middle of a line, so the number may be "
            "cut off; export it again, or end the line if the file is complete."
        )
