"""Reading labelled sets: spectra of files, joined with tables of labels."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.file_rows import UNKNOWN_EXPID, Part, UsedRows, rows_of_file
from qnal.ensemble.labelled_set import LabelledSet
from qnal.errors import InputError
from qnal.labels.boss_truth import read_boss_truth
from qnal.labels.label import BadRows, Label
from qnal.labels.truth import Truth, read_truth
from qnal.spectra.grid import Grid
from qnal.spectra.readers.boss import read_boss_spectra
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.reader import Reader
from qnal.spectra.readers.sdss import NO_TARGETID, expand_folders, is_sdss, read_sdss
from qnal.spectra.rebin import Status
from qnal.spectra.row_condition import RowCondition
from qnal.spectra.spectra_file import SpectraFile


def read_labelled(
    files: Sequence[SpectraFile],
    truth_paths: Sequence[Path],
    grid: Grid,
    *,
    high_z: float,
    reader: Reader | None = None,
    source: str = "desi",
    condition: RowCondition | None = None,
    bal_recorded: Collection[Path] | bool = False,
    bad: BadRows = BadRows.negative,
) -> LabelledSet:
    """Read the labelled spectra of files, such as DESI coadds.

    Args:
        files: the files.
        truth_paths: tables of visual inspections.
        grid: wavelength grid to rebin to.
        high_z: redshift from which a quasar is QSO_HZ.
        reader: of the files; None: that of DESI coadds.
        source: what the source is called.
        condition: which spectra are used; None: all.
        bal_recorded: tables in which a quasar without a BAL comment is a non-BAL; True for all.
        bad: how low-confidence labels are used.

    Raises:
        InputError: no spectrum has a label, or a file is damaged.
    """
    truth = read_truth(truth_paths, high_z, bal_recorded)
    used, spectra = UsedRows(), 0
    for file in files:
        read = rows_of_file(file, grid, reader or Desi(), condition)
        spectra += len(read.x)
        used.add(read, read.table["TARGETID"].isin(truth.table.index).to_numpy())
    counts = {"spectra": spectra} | used.counts(condition)
    return joined(source, used.parts, truth, counts, truth_paths, bad)


def read_boss(
    paths: Sequence[Path],
    truth_paths: Sequence[Path],
    grid: Grid,
    *,
    high_z: float,
    bad: BadRows = BadRows.negative,
) -> LabelledSet:
    """Read the labelled spectra of BOSS training files and SDSS single-spectrum files.

    An SDSS file is matched with the truth table by its THING_ID or, if it has none, by PLATE, MJD
    and FIBERID. Arguments and errors are those of :func:`read_labelled`; a folder stands for all
    ``spec-*.fits`` files below it.
    """
    truth = read_boss_truth(truth_paths, high_z)
    parts, spectra, unusable, dropped = [], 0, 0, 0
    for path in expand_folders(paths):
        x, rebinned, status, targetid, snr = (
            _one_sdss(path, grid, truth) if is_sdss(path) else read_boss_spectra(path, grid)
        )
        spectra += len(x)
        kept = targetid != NO_TARGETID
        dropped += int((~kept).sum())
        known = kept & np.isin(targetid, truth.table.index)
        unusable += int((known & (status != Status.OK)).sum())
        use = known & (status == Status.OK)
        table = pd.DataFrame(
            {
                "TARGETID": targetid,
                "EXPID": UNKNOWN_EXPID,
                "FILE": path.name,
                "ROW": np.arange(len(x), dtype=np.int32),
                "SNR": snr,
                "DESI_TARGET": np.int64(0),
            }
        )
        parts.append(Part(x[use].astype(np.float32), rebinned[use], table[use]))
    counts = {"spectra": spectra, "without_targetid": dropped, "unusable": unusable}
    return joined("boss", parts, truth, counts, truth_paths, bad)


def _one_sdss(
    path: Path, grid: Grid, truth: Truth
) -> tuple[NDArray, NDArray, NDArray, NDArray[np.int64], NDArray[np.float32]]:
    spectrum = read_sdss(path, grid)
    targetid = spectrum.thing_id
    if targetid == NO_TARGETID and spectrum.plate_mjd_fiber is not None:
        targetid = truth.spectra.get(spectrum.plate_mjd_fiber, NO_TARGETID)
    return (
        spectrum.x[None],
        spectrum.rebinned[None],
        np.array([spectrum.status]),
        np.array([targetid], np.int64),
        np.array([spectrum.snr], np.float32),
    )


def joined(
    source: str,
    parts: list[Part],
    truth: Truth,
    counts: dict[str, int],
    truth_paths: Sequence[Path],
    bad: BadRows,
) -> LabelledSet:
    """The labelled set of one source, from spectra that all have a label."""
    x, rebinned = (np.concatenate([part[k] for part in parts]) for k in range(2))
    table = pd.concat([part.table for part in parts], ignore_index=True)
    if not len(table):
        raise InputError(
            f"data.{source}: none of {counts['spectra']} spectra is usable and among the "
            f"{len(truth.table)} labelled targets of {', '.join(p.name for p in truth_paths)}; "
            "give spectra and truth tables of the same targets."
        )
    labels = truth.table.loc[table["TARGETID"]].reset_index(drop=True)
    table = table[["TARGETID", "EXPID", "FILE", "ROW", "SNR", "DESI_TARGET"]].join(labels)
    table.insert(0, "SOURCE", source)
    left_out = sum(v for k, v in counts.items() if k != "spectra")
    counts["without_label"] = counts["spectra"] - left_out - len(table)
    if bad is BadRows.drop:
        keep = (table["LABEL"] != Label.BAD).to_numpy()
        counts["bad_left_out"] = int((~keep).sum())
        x, rebinned, table = x[keep], rebinned[keep], table[keep].reset_index(drop=True)
        if not len(table):
            raise InputError(
                f"data.{source}: all of its {counts['bad_left_out']} labels are of low confidence, "
                "and these are left out (bad=drop)."
            )
    counts["labelled"] = len(table)
    counts = {f"{source}_{k}": v for k, v in (counts | truth.counts).items()}
    order = np.lexsort([table[c] for c in ("ROW", "FILE", "EXPID", "TARGETID")])
    return LabelledSet(x, table, counts, rebinned).subset(order)
