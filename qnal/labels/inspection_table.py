"""Tables of visual inspection, in any of DESI's formats, read into common columns."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import open_fits

# Column names in order of preference, compared without case, spaces and underscores. Columns of
# merged results (best_*) come before those of single inspectors (VI_*). See docs/formats.md.
_ALIASES = {
    "TARGETID": ("targetid",),
    "Z": ("bestz", "viz"),
    "QUALITY": ("bestquality", "viquality"),
    "SPECTYPE": ("bestspectype", "viclass", "vispectype"),
    "COMMENT": ("allvicomments", "vicomment", "vicomments"),
    "INSPECTOR": ("viscanner",),
    "REDROCK_Z": ("redrockz",),
    "REDROCK_SPECTYPE": ("redrockspectype",),
}
_REQUIRED = ("TARGETID", "Z", "QUALITY", "SPECTYPE")
_BLANK = ("", "nan", "none", "--", "<na>", "null")


def read_inspections(path: Path) -> pd.DataFrame:
    """Read one table (CSV, or FITS with the table in HDU1), one row per inspection.

    If redshift or class is blank, that of Redrock is taken: in files saved from an inspection page,
    blank means that the inspector agreed.

    Returns:
        Columns TARGETID (int64, exact), Z and QUALITY (float, NaN where blank), SPECTYPE (upper
        case, '' where blank), COMMENT and INSPECTOR (str, '' where unknown).

    Raises:
        InputError: the table is damaged, lacks a required column, or has values that are not
            TARGETIDs or numbers.
    """
    raw = _fits_table(path) if is_fits(path) else _csv_table(path)
    found = _columns(raw, path)
    text = {name: raw[column].map(_text) for name, column in found.items() if name != "TARGETID"}
    text |= {name: text[name].str.upper() for name in text if name.endswith("SPECTYPE")}
    for name in ("Z", "SPECTYPE"):
        blank = text[name].str.lower().isin(_BLANK)
        text[name] = text[name].mask(blank, text.get(f"REDROCK_{name}", ""))
    return pd.DataFrame(
        {
            "TARGETID": _targetids(raw[found["TARGETID"]], path),
            "Z": _numbers(text["Z"], found["Z"], path),
            "QUALITY": _numbers(text["QUALITY"], found["QUALITY"], path),
            "SPECTYPE": text["SPECTYPE"],
            "COMMENT": text.get("COMMENT", pd.Series("", index=raw.index, dtype=str)),
            "INSPECTOR": text.get("INSPECTOR", pd.Series("", index=raw.index, dtype=str)),
        }
    )


def is_fits(path: Path) -> bool:
    """Whether a table is read as FITS, by its name."""
    return re.search(r"\.fits?(\.gz)?$", path.name, re.IGNORECASE) is not None


def _fits_table(path: Path) -> pd.DataFrame:
    with open_fits(path) as fits:
        columns = fits.table(1)
        return pd.DataFrame({name: v for name, v in columns.items() if v.ndim == 1})


def _csv_table(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # A row longer than the header would be cut, or all its columns shifted by one.
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
    """The name in the table of each common column that it has."""
    normalised = {re.sub(r"[ _]", "", str(c).strip().lower()): c for c in raw.columns}
    if "viclass" in normalised and _is_quality(raw[normalised["viclass"]]):
        # Older inspection pages call the quality "VI class"; elsewhere VI_CLASS is the class.
        normalised.setdefault("viquality", normalised.pop("viclass"))
    found = {
        name: next(normalised[a] for a in aliases if a in normalised)
        for name, aliases in _ALIASES.items()
        if any(a in normalised for a in aliases)
    }
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise InputError(
            f"{path}: no column for {', '.join(missing)}; a truth table needs TARGETID, a redshift "
            "(VI_Z, best_z), a quality (VI_QUALITY, best_quality) and a class (VI_CLASS, "
            f"VI_SPECTYPE, best_spectype); this one has {', '.join(map(str, raw.columns))}."
        )
    return found


def _is_quality(column: pd.Series) -> bool:
    values = column.map(_text)
    values = values[~values.str.lower().isin(_BLANK)]
    return len(values) > 0 and bool(pd.to_numeric(values, errors="coerce").notna().all())


def _text(value: object) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _targetids(column: pd.Series, path: Path) -> NDArray[np.int64]:
    try:
        if column.dtype.kind in "iuf":
            if column.dtype.kind == "f":
                raise ValueError("floats cannot represent 64-bit integers exactly")
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
    """A text column as floats, NaN where it is blank."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & ~column.str.lower().isin(_BLANK)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{path}: {name} is {column.iloc[row]!r} in row {row + 1}, not a number.")
    return numbers.astype(float)
