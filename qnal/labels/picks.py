"""The selection that inspectors were given, and what came back of it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from qnal.errors import InputError

SUMMARY = "summary.json"  # of the query, beside its selection
METADATA = "selection.json"  # of the selection, beside it
TRUE, FALSE = ("true", "1", "t", "yes"), ("false", "0", "f", "no", "")
SUSPECTED = "suspected"  # STRATEGY of suspected labels, whose FILE is relative to the work folder
TEXT = ("REASON", "STRATEGY", "FILE", "SELECTION")
NUMBERS = ("ROW", "POPULATION", "CONTROLS", "ROUND")


@dataclass(frozen=True)
class Picks:
    """The targets of a selection.

    Attributes:
        table: the columns of the selection as text, in its order.
        targets: index TARGETID; columns CONTROL (bool), REASON, STRATEGY, FILE (str or None), ROW,
            POPULATION, CONTROLS and ROUND (Int64, null where unknown), SELECTION (fingerprint of
            the selection that the target was first in).
    """

    table: pd.DataFrame
    targets: pd.DataFrame


def read_picks(path: Path, population: int | None = None) -> Picks:
    """Read a selection: ``selection.csv`` of a query, or the conflicts that stage=label writes.

    Only TARGETID is needed. CONTROL marks control picks. How many targets these stand for is taken
    from the column POPULATION, else from ``control_population`` in ``selection.json`` or in the
    summary of the query beside the selection, else from ``population``.

    Raises:
        InputError: the file is no selection.
    """
    table = _text_table(path)
    if "TARGETID" not in table or not len(table):
        raise InputError(f"{path}: it has no column TARGETID or no rows; label.selection takes the "
                         "selection.csv of stage=query.")  # fmt: skip
    words = table["TARGETID"]
    if not words.str.fullmatch(r"-?[0-9]{1,19}").all() or words.duplicated().any():
        raise InputError(f"{path}: its TARGETIDs are not integers, or one is there twice.")
    targets = pd.DataFrame({"CONTROL": _booleans(table, path)})
    for name in TEXT:
        text = table[name] if name in table else pd.Series("", index=table.index)
        targets[name] = text.astype(object).where(text != "", None)
    for name in NUMBERS:
        text = table[name] if name in table else pd.Series("", index=table.index)
        number = pd.to_numeric(text.where(text != "", None), errors="coerce")
        targets[name] = number.astype("Float64").round().astype("Int64")
    control = targets["CONTROL"]
    if control.any():
        stands_for = _population_of_query(path) or population
        known = targets["POPULATION"].notna() | ~control
        targets["POPULATION"] = targets["POPULATION"].where(known, stands_for)
        known = targets["CONTROLS"].notna() | ~control
        targets["CONTROLS"] = targets["CONTROLS"].where(known, int(control.sum()))
    targets.loc[~control, ["POPULATION", "CONTROLS"]] = pd.NA
    targets.index = pd.Index([int(word) for word in words], dtype=np.int64, name="TARGETID")
    digest = hashlib.sha256(" ".join(sorted(words)).encode()).hexdigest()[:16]
    targets["SELECTION"] = targets["SELECTION"].fillna(digest)
    return Picks(table, targets)


@dataclass(frozen=True)
class Check:
    """Comparison of what came back with what was asked for.

    Attributes:
        returned: labels of targets of the selection.
        not_returned: targets that were asked for and have no label.
        not_asked: labels of other targets, which are not used.
    """

    returned: pd.DataFrame
    not_returned: list[int]
    not_asked: pd.DataFrame


def check_against(picks: Picks, returned: pd.DataFrame, pool: pd.Series) -> Check:
    """Compare labels with the selection.

    Args:
        picks: the selection.
        returned: labels with TARGETID and TABLE.
        pool: TARGETIDs that are known to be in the pool, among those returned.

    Raises:
        InputError: a table has no target of the selection, or targets that are not in the pool.
    """
    asked = returned["TARGETID"].isin(picks.targets.index)
    for table, rows in returned.groupby("TABLE"):
        if not asked[rows.index].any():
            raise InputError(
                f"{table}: none of its {len(rows)} targets is in the selection of "
                f"{len(picks.table)} targets; it belongs to another selection, so "
                "give that as label.selection."
            )
    unknown = returned[~asked & ~returned["TARGETID"].isin(pool)]
    if len(unknown):
        row = unknown.iloc[0]
        others = unknown["TARGETID"].nunique() - 1
        more = f" and {others} other targets of it are" if others else " is"
        raise InputError(
            f"{row['TABLE']}: target {row['TARGETID']}{more} neither in the selection nor in the "
            "pool; a table of labels holds targets of the selection."
        )
    missing = ~picks.targets.index.isin(returned["TARGETID"])
    return Check(returned[asked], picks.targets.index[missing].tolist(), returned[~asked])


def _text_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path).to_pandas(types_mapper=pd.ArrowDtype)
            # Through str, because pandas would write large integers with nulls as floats.
            return table.map(lambda v: "" if v is None or v is pd.NA else str(v)).astype(str)
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except Exception as error:
        reason = str(error).strip().splitlines()[:1] or [repr(error)]
        raise InputError(f"{path}: not a readable selection ({reason[0]}).") from error


def _booleans(table: pd.DataFrame, path: Path) -> pd.Series:
    if "CONTROL" not in table:
        return pd.Series(False, index=table.index)
    words = table["CONTROL"].str.lower()
    if not words.isin([*TRUE, *FALSE]).all():
        raise InputError(f"{path}: a value of CONTROL is neither true nor false.")
    return words.isin(TRUE)


def _population_of_query(selection: Path) -> int | None:
    for name in (METADATA, SUMMARY):
        try:
            content = json.loads((selection.parent / name).read_text())
            value = content.get("metrics", content).get("control_population")
            if value is not None:
                return int(value)
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return None
