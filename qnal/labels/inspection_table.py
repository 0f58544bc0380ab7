"""Tables of visual inspection in every dialect, read into common columns (FORMATS.md section 4)."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import opened

# Column names of all dialects, compared without case, spaces or underscores; the first one that a
# table has is taken. What a merged table says of itself goes before what single inspectors said.
_ALIASES = {
    "TARGETID": ("targetid",),
    "Z": ("bestz", "viz"),
    "QUALITY": ("bestquality", "viquality"),
    "SPECTYPE": ("bestspectype", "viclass", "vispectype"),
    "COMMENT": ("allvicomments", "vicomment", "vicomments"),
    "REDROCK_Z": ("redrockz",),
    "REDROCK_SPECTYPE": ("redrockspectype",),
}
_NEEDED = ("TARGETID", "Z", "QUALITY", "SPECTYPE")
_EMPTY = ("", "nan", "none", "--", "<na>", "null")


def read_inspections(path: Path) -> pd.DataFrame:
    """One table (CSV, or FITS with the table in HDU1), one row an inspection.

    Blank redshifts and classes of a raw page mean that the inspector agreed with Redrock.

    Returns:
        TARGETID (int64, never through a float), Z and QUALITY (float, NaN where blank), SPECTYPE
        (upper case, '' where blank), COMMENT (str).

    Raises:
        InputError: the table is broken, lacks a column of every dialect, or holds what cannot be a
            TARGETID or a number.
    """
    raw = _fits_table(path) if _is_fits(path) else _csv_table(path)
    found = _columns(raw, path)
    text = {name: raw[column].map(_text) for name, column in found.items() if name != "TARGETID"}
    text |= {name: text[name].str.upper() for name in text if name.endswith("SPECTYPE")}
    for name in ("Z", "SPECTYPE"):
        blank = text[name].str.lower().isin(_EMPTY)
        text[name] = text[name].mask(blank, text.get(f"REDROCK_{name}", ""))
    return pd.DataFrame(
        {
            "TARGETID": _targetids(raw[found["TARGETID"]], path),
            "Z": _numbers(text["Z"], found["Z"], path),
            "QUALITY": _numbers(text["QUALITY"], found["QUALITY"], path),
            "SPECTYPE": text["SPECTYPE"],
            "COMMENT": text.get("COMMENT", pd.Series("", index=raw.index, dtype=str)),
        }
    )


def _is_fits(path: Path) -> bool:
    return re.search(r"\.fits?(\.gz)?$", path.name, re.IGNORECASE) is not None


def _fits_table(path: Path) -> pd.DataFrame:
    with opened(path) as fits:
        columns = fits.table(1)
        return pd.DataFrame({name: v for name, v in columns.items() if v.ndim == 1})


def _csv_table(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # A row longer than the header would else be cut, or shift every column by one.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                skipinitialspace=True,
                index_col=False,
                encoding="utf-8-sig",
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [repr(error)]
        raise InputError(f"{path}: not a readable truth table ({reason[0]}).") from error


def _columns(raw: pd.DataFrame, path: Path) -> dict[str, str]:
    """Which column of the table holds what."""
    plain = {re.sub(r"[ _]", "", str(c).strip().lower()): c for c in raw.columns}
    if "viclass" in plain and _is_quality(raw[plain["viclass"]]):
        # On older pages "VI class" is the quality; in QuasarNET's tables VI_CLASS is the class.
        plain.setdefault("viquality", plain.pop("viclass"))
    found = {
        name: next(plain[a] for a in aliases if a in plain)
        for name, aliases in _ALIASES.items()
        if any(a in plain for a in aliases)
    }
    missing = [name for name in _NEEDED if name not in found]
    if missing:
        raise InputError(
            f"{path}: no column for {', '.join(missing)}; a truth table has TARGETID, a redshift "
            "(VI_Z, best_z), a quality (VI_QUALITY, best_quality) and a class (VI_CLASS, "
            f"VI_SPECTYPE, best_spectype), this one has {', '.join(map(str, raw.columns))}."
        )
    return found


def _is_quality(column: pd.Series) -> bool:
    said = column.map(_text)
    said = said[~said.str.lower().isin(_EMPTY)]
    return len(said) > 0 and bool(pd.to_numeric(said, errors="coerce").notna().all())


def _text(value: object) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _targetids(column: pd.Series, path: Path) -> NDArray[np.int64]:
    try:
        if column.dtype.kind in "iuf":
            if column.dtype.kind == "f":
                raise ValueError("the column is of floats, which cannot hold 64-bit integers")
            return np.array([int(v) for v in column.tolist()], np.int64)
        words = column.map(_text)
        wrong = ~words.str.fullmatch(r"[+-]?[0-9]+")
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ValueError(f"{words.iloc[row]!r} in row {row + 1}")
        return np.array([int(word) for word in words], np.int64)
    except (ValueError, OverflowError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: a TARGETID is not a 64-bit integer ({error}).") from error


def _numbers(column: pd.Series, name: str, path: Path) -> pd.Series:
    """Numbers of a text column, NaN where it is empty."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & ~column.str.lower().isin(_EMPTY)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}: {name} is {column.iloc[row]!r} in row {row + 1}, not a number.")
    return numbers.astype(float)
