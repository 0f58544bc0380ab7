"""The labelled spectra of a label table, read from the pool in which their targets were picked."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.ensemble.file_rows import UsedRows, rows_of_file
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.read_labelled import joined
from qnal.errors import InputError
from qnal.labels.label import BadRows, Label, labels
from qnal.labels.truth import GOOD_QUALITY, Truth
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.reader import Reader
from qnal.spectra.row_condition import RowCondition
from qnal.spectra.spectra_file import SpectraFile

SOURCE = "inspected"


def read_inspected(
    current: pd.DataFrame,
    path: Path,
    grid: Grid,
    *,
    high_z: float,
    reader: Reader | None = None,
    condition: RowCondition | None = None,
) -> LabelledSet:
    """Read all spectra of the targets of a label table.

    Args:
        current: the labels that hold (:func:`~qnal.labels.label_table.current_labels`).
        path: the label table; a relative POOL is relative to its folder.
        grid: wavelength grid to rebin to.
        high_z: redshift from which a quasar is QSO_HZ.
        reader: of the pool; None: that of DESI coadds.
        condition: which spectra are used; None: all.

    Returns:
        Spectra with SOURCE ``inspected``; BAD labels are among them.

    Raises:
        InputError: there is no label, a spectrum is unknown, or a file is gone or was replaced.
    """
    if not len(current):
        raise InputError(f"{path}: there are no labels in it.")
    unknown = current["POOL"].isna() | (current["FILES"].map(len) == 0)
    if unknown.any():
        target = current.loc[unknown, "TARGETID"].iloc[0]
        raise InputError(
            f"{path}: it does not say where the spectra of target {target} are ({unknown.sum()} of "
            f"{len(current)} targets); run stage=label again with the scores of its selection."
        )
    rows = current[["TARGETID", "POOL", "FILES", "ROWS"]].explode(["FILES", "ROWS"])
    rows = rows.rename(columns={"FILES": "FILE", "ROWS": "ROW"})
    used = UsedRows()
    for (pool, name), of_file in rows.groupby(["POOL", "FILE"], sort=True):
        file = SpectraFile(str(name), path.parent / str(pool) / str(name))
        if not file.path.exists():
            raise InputError(
                f"{file.path}: there is no such file, but {path} has labels of its spectra; move "
                "the pool back to where it was."
            )
        read = rows_of_file(file, grid, reader or Desi(), condition)
        index = of_file["ROW"].to_numpy(np.int64)
        in_file = index < len(read.table)
        found = read.table["TARGETID"].to_numpy()[np.where(in_file, index, 0)]
        if not (in_file & (found == of_file["TARGETID"].to_numpy())).all():
            raise InputError(
                f"{file.path}: its rows are not the spectra that {path} has labels for; the file "
                "was replaced, so run stage=infer and stage=label again."
            )
        known = np.zeros(len(read.table), bool)
        known[index] = True
        used.add(read, known)
    counts = {"spectra": len(rows)} | used.counts(condition)
    truth = Truth(_truth(current, high_z), {"targets": len(current)})
    return joined(SOURCE, used.parts, truth, counts, [path], BadRows.negative)


def _truth(current: pd.DataFrame, high_z: float) -> pd.DataFrame:
    z = current["Z"].to_numpy(float)
    confident = current["QUALITY"].to_numpy() >= GOOD_QUALITY
    label = labels(current["SPECTYPE"].fillna("").to_numpy(str), z, confident, high_z)
    index = pd.Index(current["TARGETID"].to_numpy(), name="TARGETID")
    return pd.DataFrame({"LABEL": label, "Z": z, "BAL": current["BAL"].to_numpy()}, index=index)


def superseded(others: LabelledSet, inspected: LabelledSet) -> LabelledSet:
    """The spectra of truth tables, with the labels of the label table where it knows the target.

    Spectra that are in both sets are left out.
    """
    newer = inspected.table.drop_duplicates("TARGETID").set_index("TARGETID")
    targetid = others.column("TARGETID")
    known = np.isin(targetid, newer.index)
    table = others.table.copy()
    for name in ("LABEL", "Z", "BAL"):
        values = table[name].to_numpy().copy()
        values[known] = newer.loc[targetid[known], name].to_numpy()
        table[name] = values
    spectra = set(zip(inspected.column("TARGETID"), map(bytes, inspected.x), strict=True))
    same = known.copy()
    for row in np.flatnonzero(known):
        same[row] = (targetid[row], bytes(others.x[row])) in spectra
    counts = {
        "inspected_supersedes": int(np.unique(targetid[known]).size),
        "inspected_same_spectrum": int(same.sum()),
    }
    return replace(others, table=table).subset(~same, **counts)


def without_bad(labelled: LabelledSet) -> LabelledSet:
    """The spectra without the BAD labels."""
    keep = labelled.column("LABEL") != Label.BAD
    return labelled.subset(keep, inspected_bad_left_out=int((~keep).sum()))
