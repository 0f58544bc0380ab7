"""Labelled set: spectra with their labels, in one table and in canonical order."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.files import written_aside
from qnal.labels.label import Label, is_quasar

BAL_NEEDED = 20  # quasars with and without BALs that training a BAL head takes

SPECTRA, REBINNED, LABELS = "spectra.npy", "rebinned.npy", "labels.parquet"


@dataclass(frozen=True)
class LabelledSet:
    """Spectra and labels in canonical order: SOURCE, TARGETID, EXPID, FILE, ROW.

    Attributes:
        x: renormalised spectra, shape [rows, npix], float32.
        table: one row per spectrum, with columns SOURCE (``boss``, ``desi``, ``labelled`` for
            ``data.labelled``, or ``inspected`` for those of a label table), TARGETID, EXPID (−1 if
            unknown), FILE, ROW, SNR, DESI_TARGET (0 if unknown), LABEL (:class:`Label`), Z and BAL
            (+1, −1, or 0 if unknown). SNR is the median of flux·√ivar per pixel; with several arms,
            the mean of the medians of those that have data.
        counts: numbers of rows found, used, and left out by reason.
        rebinned: flux and its inverse variance on the grid, shape [rows, 2, npix], of which
            augmentation makes further versions of the spectra; None if unknown.
    """

    x: NDArray[np.float32]
    table: pd.DataFrame
    counts: dict[str, int] = field(default_factory=dict)
    rebinned: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def column(self, name: str) -> NDArray:
        """A column of the table, shape [rows]."""
        return self.table[name].to_numpy()

    def subset(self, rows: NDArray, **counts: int) -> "LabelledSet":
        """Some of the rows (indices or a mask), with further counts added."""
        table = self.table.iloc[np.flatnonzero(rows) if rows.dtype == bool else rows]
        rebinned = None if self.rebinned is None else self.rebinned[rows]
        counts = self.counts | counts
        return LabelledSet(self.x[rows], table.reset_index(drop=True), counts, rebinned)

    def write(self, folder: Path) -> None:
        """Write the set for worker processes, unless the folder already has it.

        Quasars are written without the split at ``high_z``, which training does not use.
        """
        table = self.table.assign(LABEL=self._unsplit_labels())
        try:
            there = LabelledSet.read(folder)
            complete = self.rebinned is None or there.rebinned is not None
            if complete and np.array_equal(there.x, self.x) and there.table.equals(table):
                return
        except (OSError, ValueError, EOFError):  # missing or damaged
            pass
        if self.rebinned is not None:
            with written_aside(folder / REBINNED) as scratch, scratch.open("wb") as file:
                np.save(file, self.rebinned)
        with written_aside(folder / SPECTRA) as scratch, scratch.open("wb") as file:
            np.save(file, self.x)
        with written_aside(folder / LABELS) as scratch:
            table.to_parquet(scratch)

    @staticmethod
    def read(folder: Path) -> "LabelledSet":
        """Read what :meth:`write` wrote, without ``counts``; spectra are memory-mapped."""
        x = np.load(folder / SPECTRA, mmap_mode="r")
        path = folder / REBINNED
        rebinned = np.load(path, mmap_mode="r") if path.exists() else None
        return LabelledSet(x, pd.read_parquet(folder / LABELS), rebinned=rebinned)

    def fingerprint(self) -> str:
        """SHA-256 of the spectra and labels.

        It depends neither on paths nor on ``high_z``, which splits the quasars into two labels but
        changes no training target.
        """
        digest = hashlib.sha256(np.ascontiguousarray(self.x).tobytes())
        labels = {"LABEL": self._unsplit_labels()}
        for name in ("TARGETID", "EXPID", "LABEL", "Z", "BAL"):
            column = labels.get(name, self.column(name))
            digest.update(np.ascontiguousarray(column).tobytes())
        digest.update("".join(self.column("SOURCE")).encode())
        return digest.hexdigest()

    def _unsplit_labels(self) -> NDArray[np.integer]:
        return split_quasars(self.column("LABEL"), self.column("Z"), np.inf)


def split_quasars(
    label: NDArray[np.integer], z: NDArray[np.floating], high_z: float
) -> NDArray[np.integer]:
    """Labels with the quasars split into QSO_LZ and QSO_HZ at a redshift.

    Args:
        label: :class:`Label`, split at any redshift, shape [rows].
        z: redshift, shape [rows].
        high_z: redshift from which a quasar is QSO_HZ.
    """
    split = np.where(z < high_z, Label.QSO_LZ, Label.QSO_HZ)
    return np.where(is_quasar(label), split, label).astype(label.dtype)


def merged(sets: Sequence[LabelledSet]) -> LabelledSet:
    """Concatenate the sets of several sources, in canonical order."""
    ordered = sorted(sets, key=lambda s: s.column("SOURCE")[0])
    counts = {k: v for s in ordered for k, v in s.counts.items()}
    table = pd.concat([s.table for s in ordered], ignore_index=True)
    return concatenated(ordered, table, counts)


def concatenated(
    sets: Sequence[LabelledSet], table: pd.DataFrame, counts: dict[str, int]
) -> LabelledSet:
    """The spectra of several sets, with a table and counts of all of them."""
    parts = [s.rebinned for s in sets if s.rebinned is not None]
    rebinned = np.concatenate(parts) if len(parts) == len(sets) else None
    return LabelledSet(np.concatenate([s.x for s in sets]), table, counts, rebinned)


def one_exposure_each(labelled: LabelledSet, rng: np.random.Generator) -> LabelledSet:
    """One random spectrum per target, as with ``--single_exp`` of the active-learning scripts."""
    order = rng.permutation(len(labelled))
    _, first = np.unique(labelled.column("TARGETID")[order], return_index=True)
    keep = np.sort(order[first])
    return labelled.subset(keep, single_exposure_left_out=len(labelled) - len(keep))


def thinned(labelled: LabelledSet, most: int, rng: np.random.Generator) -> LabelledSet:
    """At most ``most`` spectra, drawn at random without replacement."""
    if len(labelled) <= most:
        return labelled
    keep = np.sort(rng.choice(len(labelled), size=most, replace=False))
    return labelled.subset(keep, boss_thinned_out=len(labelled) - most)


def class_counts(labelled: LabelledSet) -> dict[str, int]:
    """Number of spectra per :class:`Label`."""
    return {label.name: int((labelled.column("LABEL") == label).sum()) for label in Label}


def has_bal_labels(labelled: LabelledSet) -> bool:
    """Whether there are enough quasars with and without BALs to train a BAL head.

    Exposures of one quasar count as one.
    """
    quasars = labelled.table[is_quasar(labelled.column("LABEL"))]
    counts = (quasars.loc[quasars["BAL"] == sign, "TARGETID"].nunique() for sign in (1, -1))
    return min(counts) >= BAL_NEEDED
