"""Truth tables: class, redshift and BAL per target, merged from tables of visual inspection."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.errors import InputError
from qnal.labels.bal_comment import bal_from_comment
from qnal.labels.inspection_table import read_inspections
from qnal.labels.label import labels

GOOD_QUALITY = 2.5  # smallest mean quality of a confident label
BEST_QUALITY = 4.0  # larger values are flags: 999 means "unresolved"
CONFLICT_QUALITY = 2.0
CONFLICT_DZ = 0.0033
SPECTYPES = ("STAR", "GALAXY", "QSO")


@dataclass(frozen=True)
class Truth:
    """Labels of a set of targets.

    Attributes:
        table: index TARGETID (int64, unique); columns LABEL (:class:`~qnal.labels.label.Label`),
            Z, BAL (+1 BAL, −1 no BAL, 0 unknown).
        counts: how the rows of the tables were used. ``truth_rows`` is the sum of the rows left
            out (``truth_unresolved``, ``truth_unset``, ``truth_unknown_class``,
            ``truth_conflict_rows`` and similar), ``truth_merged_rows`` (further rows of the same
            target) and ``truth_targets``. Numbers of targets are ``truth_repeated`` (with several
            rows) and ``truth_conflicts``.
        spectra: TARGETID by (PLATE, MJD, FIBERID), if the tables have these columns.
    """

    table: pd.DataFrame
    counts: dict[str, int] = field(default_factory=dict)
    spectra: dict[tuple[int, int, int], int] = field(default_factory=dict)


def read_truth(
    paths: Sequence[Path], high_z: float, bal_recorded: Collection[Path] | bool = False
) -> Truth:
    """Read and merge inspection tables (CSV or FITS) in any of the known formats.

    Rows of one target are averaged in quality and redshift. A target is left out as a conflict if
    its rows differ by 2 or more in quality, by 0.0033(1+z) or more in redshift, or in class.

    Also left out are rows without a quality (blank or −1) or with a quality of 999 (unresolved),
    and confident rows without a redshift or with an unknown class. A target with a mean quality
    below 2.5 is BAD, whatever its class.

    BAL is +1 for confident quasars with a comment that states a BAL; −1 for confident stars and
    galaxies, and for confident quasars without such a comment in tables that record every BAL;
    otherwise 0.

    Args:
        paths: the tables.
        high_z: redshift from which a quasar is QSO_HZ.
        bal_recorded: the tables in which every BAL is recorded; True means all of them.

    Raises:
        InputError: a table is damaged, lacks required columns, or no row can be used.
    """
    complete = paths if bal_recorded is True else bal_recorded or ()
    tables = [read_inspections(path).assign(BAL_NOTED=path in complete) for path in paths]
    rows = pd.concat(tables, ignore_index=True)
    counts = {"truth_rows": len(rows)}
    rows = _usable(rows, counts)
    if not len(rows):
        raise InputError(
            f"{', '.join(map(str, paths))}: none of {counts['truth_rows']} rows can be used; a "
            "usable row has a quality from 0 to 4, a class and a redshift."
        )
    targets = rows.groupby("TARGETID", sort=True)
    quality, z = targets["QUALITY"], targets["Z"]
    conflict = (
        (quality.max() - quality.min() >= CONFLICT_QUALITY)
        | (z.max() - z.min() >= CONFLICT_DZ * (1 + z.min()))
        | (targets["SPECTYPE"].nunique() > 1)
    )
    counts["truth_repeated"] = int((targets.size() > 1).sum())
    counts |= count_targets(targets.size(), conflict)
    confident = quality.mean() >= GOOD_QUALITY
    spectype = targets["SPECTYPE"].first().fillna("")  # the first that is not missing
    label = labels(
        spectype.to_numpy(str), z.mean().to_numpy(float), confident.to_numpy(bool), high_z
    )
    table = pd.DataFrame({"LABEL": label, "Z": z.mean().astype(float)}, index=conflict.index)
    table["BAL"] = _bal(targets, confident, spectype)
    return Truth(table[~conflict], counts)


def count_targets(rows: pd.Series, conflict: pd.Series) -> dict[str, int]:
    """Counts of targets and their rows, for :attr:`Truth.counts`.

    Args:
        rows: number of rows of each target.
        conflict: whether the rows of a target contradict each other.
    """
    return {
        "truth_conflicts": int(conflict.sum()),
        "truth_conflict_rows": int(rows[conflict].sum()),
        "truth_merged_rows": int((rows[~conflict] - 1).sum()),
        "truth_targets": int((~conflict).sum()),
    }


def _usable(rows: pd.DataFrame, counts: dict[str, int]) -> pd.DataFrame:
    """The usable rows; the others are counted. Unknown classes and redshifts become missing."""
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
    """BAL of each target; comments count for confident quasars only."""
    comment = targets.obj["COMMENT"].map(bal_from_comment).astype(float)
    stated = comment.groupby(targets.obj["TARGETID"])
    present, doubtful = stated.max() == 1, stated.min() == 0
    quasar = confident & (spectype == "QSO")
    absent = (confident & ~quasar) | (quasar & targets["BAL_NOTED"].any())
    return np.select(
        [present & doubtful, present & quasar, present | doubtful, absent], [0, 1, 0, -1], 0
    ).astype(np.int8)
