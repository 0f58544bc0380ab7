"""The labelled set: spectra with what inspectors said of them, in one table and one order."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.files import written_aside
from qnal.labels.boss_truth import read_boss_truth
from qnal.labels.label import BadRows, Label
from qnal.labels.truth import Truth, read_truth
from qnal.spectra.grid import Grid
from qnal.spectra.readers.boss import read_boss_spectra
from qnal.spectra.readers.desi import CAMERAS, read_coadd
from qnal.spectra.readers.sdss import NO_TARGETID, expand_folders, is_sdss, read_sdss
from qnal.spectra.rebin import Status
from qnal.spectra.spectra_file import SpectraFile

# The reference drops DESI spectra that jump by this much between neighbouring pixels.
ABSURD_JUMP = 1e4
UNKNOWN_EXPID = -1
_OF_A_COADD = ("TARGETID", "EXPID", "FILE", "ROW", "STATUS")

SPECTRA, LABELS = "spectra.npy", "labels.parquet"


@dataclass(frozen=True)
class LabelledSet:
    """Spectra and labels in canonical order: SOURCE, TARGETID, EXPID, FILE, ROW.

    Attributes:
        x: renormalised spectra, shape [rows, npix], float32.
        table: SOURCE (``boss``, ``desi``), TARGETID, EXPID (−1 unknown), FILE, ROW, SNR, LABEL
            (:class:`Label`), Z, BAL (+1, −1, 0 unknown), one row a spectrum. SNR is the median
            flux·√ivar a pixel, of DESI the mean of the live cameras' medians.
        counts: rows found, used and left out, with the reason.
    """

    x: NDArray[np.float32]
    table: pd.DataFrame
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> NDArray:
        """One column of the table as an array, shape [rows]."""
        return self.table[name].to_numpy()

    def subset(self, rows: NDArray, **counts: int) -> "LabelledSet":
        """The given rows (indices or a mask), with further counts noted."""
        table = self.table.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows]
        return LabelledSet(self.x[rows], table.reset_index(drop=True), self.counts | counts)

    def write(self, folder: Path) -> None:
        """Write it for other processes to read, unless it is there and as it should be."""
        try:
            there = LabelledSet.read(folder)
            if np.array_equal(there.x, self.x) and there.table.equals(self.table):
                return
        except (OSError, ValueError, EOFError):  # nothing there, or damaged
            pass
        with written_aside(folder / SPECTRA) as scratch, scratch.open("wb") as file:
            np.save(file, self.x)
        with written_aside(folder / LABELS) as scratch:
            self.table.to_parquet(scratch)

    @staticmethod
    def read(folder: Path) -> "LabelledSet":
        """What :meth:`write` has written, without ``counts``; spectra stay on disk until used."""
        x = np.load(folder / SPECTRA, mmap_mode="r")
        return LabelledSet(x, pd.read_parquet(folder / LABELS))

    def fingerprint(self) -> str:
        """SHA-256 of spectra and labels; equal for equal content, whatever the files' places."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x).tobytes())
        for name in ("TARGETID", "EXPID", "LABEL", "Z", "BAL"):
            digest.update(np.ascontiguousarray(self.column(name)).tobytes())
        digest.update("".join(self.column("SOURCE")).encode())
        return digest.hexdigest()


def read_desi(
    files: Sequence[SpectraFile],
    truth_paths: Sequence[Path],
    grid: Grid,
    *,
    high_z: float,
    use_mask: bool = True,
    bal_recorded: Collection[Path] | bool = False,
    bad: BadRows = BadRows.negative,
) -> LabelledSet:
    """The labelled DESI spectra of these coadds.

    Args:
        files: the coadds.
        truth_paths: inspection tables.
        grid: the grid to rebin to.
        high_z: redshift from which a quasar is QSO_HZ.
        use_mask: ignore pixels whose ``X_MASK`` is not 0.
        bal_recorded: tables whose inspectors noted every BAL; True for all.
        bad: what becomes of spectra of which no inspector was confident.

    Raises:
        InputError: no spectrum has a label, or a file is broken.
    """
    truth = read_truth(truth_paths, high_z, bal_recorded)
    parts, spectra, unusable, jumps = [], 0, 0, 0
    for file in files:
        coadd = read_coadd(file, grid, use_mask)
        spectra += len(coadd.x)
        cameras = [f"SNR_{camera}" for camera in CAMERAS]
        table = coadd.table.select([*_OF_A_COADD, *cameras]).to_pandas()
        table["SNR"] = table[cameras].mean(axis=1).astype(np.float32)  # of those that are alive
        known = table["TARGETID"].isin(truth.table.index).to_numpy()
        ok = (table["STATUS"] == Status.OK).to_numpy()
        sane = ~(np.abs(np.diff(coadd.x, axis=1)) >= ABSURD_JUMP).any(axis=1)
        unusable += int((known & ~ok).sum())
        jumps += int((known & ok & ~sane).sum())
        use = known & ok & sane
        table["EXPID"] = table["EXPID"].fillna(UNKNOWN_EXPID).astype(np.int64)
        parts.append((coadd.x[use].astype(np.float32), table[use]))
    counts = {"spectra": spectra, "unusable": unusable, "absurd_jump": jumps}
    return _labelled("desi", parts, truth, counts, truth_paths, bad)


def read_boss(
    paths: Sequence[Path],
    truth_paths: Sequence[Path],
    grid: Grid,
    *,
    high_z: float,
    bad: BadRows = BadRows.negative,
) -> LabelledSet:
    """The labelled spectra of BOSS training files and of SDSS files of one spectrum each.

    An SDSS file is matched with the truth by its THING_ID, or by PLATE, MJD and FIBERID where it
    has none. Arguments and errors are those of :func:`read_desi`; a folder stands for the
    ``spec-*.fits`` below it.
    """
    truth = read_boss_truth(truth_paths, high_z)
    parts, spectra, unusable, dropped = [], 0, 0, 0
    for path in expand_folders(paths):
        x, status, targetid, snr = (
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
            }
        )
        parts.append((x[use].astype(np.float32), table[use]))
    counts = {"spectra": spectra, "without_targetid": dropped, "unusable": unusable}
    return _labelled("boss", parts, truth, counts, truth_paths, bad)


def _one_sdss(
    path: Path, grid: Grid, truth: Truth
) -> tuple[NDArray, NDArray, NDArray[np.int64], NDArray[np.float32]]:
    spectrum = read_sdss(path, grid)
    targetid = spectrum.thing_id
    if targetid == NO_TARGETID and spectrum.plate_mjd_fiber is not None:
        targetid = truth.spectra.get(spectrum.plate_mjd_fiber, NO_TARGETID)
    said = np.array([spectrum.status]), np.array([targetid], np.int64)
    return spectrum.x[None], *said, np.array([spectrum.snr], np.float32)


def _labelled(
    source: str,
    parts: list[tuple[NDArray[np.float32], pd.DataFrame]],
    truth: Truth,
    counts: dict[str, int],
    truth_paths: Sequence[Path],
    bad: BadRows,
) -> LabelledSet:
    x = np.concatenate([part for part, _ in parts])
    table = pd.concat([part for _, part in parts], ignore_index=True)
    if not len(table):
        raise InputError(
            f"data.{source}: none of {counts['spectra']} spectra is both usable and among the "
            f"{len(truth.table)} labelled targets of {', '.join(p.name for p in truth_paths)}; "
            "do the files belong together?"
        )
    said = truth.table.loc[table["TARGETID"]].reset_index(drop=True)
    table = table[["TARGETID", "EXPID", "FILE", "ROW", "SNR"]].join(said)
    table.insert(0, "SOURCE", source)
    left_out = sum(v for k, v in counts.items() if k != "spectra")
    counts["without_label"] = counts["spectra"] - left_out - len(table)
    if bad is BadRows.drop:
        keep = (table["LABEL"] != Label.BAD).to_numpy()
        counts["bad_left_out"] = int((~keep).sum())
        x, table = x[keep], table[keep].reset_index(drop=True)
        if not len(table):
            raise InputError(
                f"data.{source}: no inspector was confident of any of its "
                f"{counts['bad_left_out']} labelled spectra, and data.bad=drop leaves these out."
            )
    counts["labelled"] = len(table)
    counts = {f"{source}_{k}": v for k, v in (counts | truth.counts).items()}
    order = np.lexsort([table[c] for c in ("ROW", "FILE", "EXPID", "TARGETID")])
    return LabelledSet(x, table, counts).subset(order)


def merged(sets: Sequence[LabelledSet]) -> LabelledSet:
    """Several sources in canonical order."""
    ordered = sorted(sets, key=lambda s: s.column("SOURCE")[0])
    counts = {k: v for s in ordered for k, v in s.counts.items()}
    table = pd.concat([s.table for s in ordered], ignore_index=True)
    return LabelledSet(np.concatenate([s.x for s in ordered]), table, counts)


def one_exposure_each(labelled: LabelledSet, rng: np.random.Generator) -> LabelledSet:
    """One random spectrum of each target, as the reference's ``--single_exp``."""
    order = rng.permutation(len(labelled))
    _, first = np.unique(labelled.column("TARGETID")[order], return_index=True)
    keep = np.sort(order[first])
    return labelled.subset(keep, single_exposure_left_out=len(labelled) - len(keep))


def thinned(labelled: LabelledSet, most: int, rng: np.random.Generator) -> LabelledSet:
    """At most ``most`` spectra, drawn without replacement."""
    if len(labelled) <= most:
        return labelled
    keep = np.sort(rng.choice(len(labelled), size=most, replace=False))
    return labelled.subset(keep, boss_thinned_out=len(labelled) - most)


def class_counts(labelled: LabelledSet) -> dict[str, int]:
    """Number of spectra of each :class:`Label`."""
    return {label.name: int((labelled.column("LABEL") == label).sum()) for label in Label}
