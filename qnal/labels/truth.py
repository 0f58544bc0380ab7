"""What inspectors said of targets: TARGETID → class, redshift, BAL (FORMATS.md section 4)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.errors import InputError
from qnal.labels.bal_comment import said_of_bal
from qnal.labels.inspection_table import read_inspections
from qnal.labels.label import labels

GOOD_QUALITY = 2.5
BEST_QUALITY = 4.0  # beyond it are sentinels, 999 for "unresolved"
CONFLICT_QUALITY = 2.0
CONFLICT_DZ = 0.0033
SPECTYPES = ("STAR", "GALAXY", "QSO")


@dataclass(frozen=True)
class Truth:
    """What inspectors said of a set of targets.

    Attributes:
        table: index TARGETID (int64, unique); columns LABEL (:class:`Label`), Z, BAL (+1 BAL,
            −1 none, 0 unknown).
        counts: what became of each row of the tables. ``truth_rows`` is the sum of those left out
            (``truth_unresolved``, ``truth_unset``, ``truth_unknown_class``,
            ``truth_conflict_rows`` and others of their kind), ``truth_merged_rows`` (further
            rows of a target already there) and ``truth_targets``. Beside them are numbers of
            targets: ``truth_repeated``, ``truth_conflicts``.
        spectra: TARGETID by (PLATE, MJD, FIBERID), where the tables have these.
    """

    table: pd.DataFrame
    counts: dict[str, int] = field(default_factory=dict)
    spectra: dict[tuple[int, int, int], int] = field(default_factory=dict)


def read_truth(
    paths: Sequence[Path], high_z: float, bal_recorded: Collection[Path] | bool = False
) -> Truth:
    """Read and merge inspection tables (CSV or FITS) of any dialect.

    Rows of several inspectors are reconciled: the mean quality and redshift; a target whose
    inspectors differ by 2 or more in quality, by 0.0033(1+z) or more in redshift, or in class is
    left out as a conflict. Left out are also rows without a quality (blank or −1), with a sentinel
    for one (999: unresolved; such a row says nothing, so other rows of the target count), and
    confident ones without a redshift or of an unknown class. An unconfident row is BAD whatever
    else it says.

    BAL is +1 for confident quasars with a comment that says so, −1 for confident stars and
    galaxies and for the other confident quasars of a campaign that noted every BAL, else 0.

    Args:
        paths: the tables.
        high_z: redshift from which a quasar is QSO_HZ.
        bal_recorded: the tables whose inspectors noted every BAL; True for all of them.

    Raises:
        InputError: a table is broken, or lacks the columns of every dialect.
    """
    complete = paths if bal_recorded is True else bal_recorded or ()
    tables = [read_inspections(path).assign(BAL_NOTED=path in complete) for path in paths]
    rows = pd.concat(tables, ignore_index=True)
    counts = {"truth_rows": len(rows)}
    rows = _usable(rows, counts)
    if not len(rows):
        raise InputError(
            f"{', '.join(map(str, paths))}: none of {counts['truth_rows']} rows says what a target "
            "is; a usable row has a quality from 0 to 4, a class and a redshift."
        )
    targets = rows.groupby("TARGETID", sort=True)
    quality, z = targets["QUALITY"], targets["Z"]
    conflict = (
        (quality.max() - quality.min() >= CONFLICT_QUALITY)
        | (z.max() - z.min() >= CONFLICT_DZ * (1 + z.min()))
        | (targets["SPECTYPE"].nunique() > 1)
    )
    size = targets.size()
    counts["truth_repeated"] = int((size > 1).sum())
    counts["truth_conflicts"] = int(conflict.sum())
    counts["truth_conflict_rows"] = int(size[conflict].sum())
    counts["truth_merged_rows"] = int((size[~conflict] - 1).sum())
    counts["truth_targets"] = int((~conflict).sum())
    confident = quality.mean() >= GOOD_QUALITY
    spectype = targets["SPECTYPE"].first().fillna("")  # of those who gave one
    said = labels(
        spectype.to_numpy(str), z.mean().to_numpy(float), confident.to_numpy(bool), high_z
    )
    table = pd.DataFrame({"LABEL": said, "Z": z.mean().astype(float)}, index=size.index)
    table["BAL"] = _bal(targets, confident, spectype)
    return Truth(table[~conflict], counts)


def _usable(rows: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    """Leave out and count what says nothing; a class that an unconfident row lacks is None."""
    known = rows["SPECTYPE"].isin(SPECTYPES)
    has_z = np.isfinite(rows["Z"]) & (rows["Z"] > -1)
    unresolved = rows["QUALITY"] > BEST_QUALITY
    confident = rows["QUALITY"] >= GOOD_QUALITY
    unset = ~(rows["QUALITY"] >= 0) | (confident & ~unresolved & ~has_z)
    unknown = confident & ~known & ~unresolved & ~unset
    counts["truth_unresolved"] = int(unresolved.sum())
    counts["truth_unset"] = int(unset.sum())
    counts["truth_unknown_class"] = int(unknown.sum())
    rows = rows.assign(
        SPECTYPE=rows["SPECTYPE"].where(known, None), Z=rows["Z"].where(has_z, np.nan)
    )
    return rows[~(unresolved | unset | unknown)]


def _bal(
    targets: "pd.api.typing.DataFrameGroupBy", confident: pd.Series, spectype: pd.Series
) -> np.ndarray:
    """BAL of each target; a comment on what is no confident quasar gives no label."""
    said = targets.obj["COMMENT"].map(said_of_bal).astype(float).groupby(targets.obj["TARGETID"])
    seen, doubted = said.max() == 1, said.min() == 0
    quasar = confident & (spectype == "QSO")
    noted = targets["BAL_NOTED"].any()
    none = (confident & ~quasar) | (quasar & noted)
    return np.select(
        [seen & doubted, seen & quasar, seen | doubted, none], [0, 1, 0, -1], 0
    ).astype(np.int8)
