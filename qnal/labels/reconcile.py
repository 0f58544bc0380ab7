"""One label per target from the labels of several inspectors.

Two labels agree if the classes are equal, the redshifts differ by less than 0.0033(1+z) and the
qualities by less than 2; labels that are both of low quality (below 2.5) agree whatever they say,
because either makes the target BAD. A target gets the label of its inspectors if more than half of
them agree with each other: class and redshift of the one with the best quality (the mean redshift
where several are best), and the mean quality of those who agree. Every other target is a conflict,
as is one that an inspector called unresolved.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.labels.bal_comment import bal_from_comment
from qnal.labels.truth import CONFLICT_DZ, CONFLICT_QUALITY, GOOD_QUALITY

COMMENT_SEPARATOR = " | "


@dataclass(frozen=True)
class Reconciled:
    """Labels of targets, and targets without one.

    Attributes:
        labels: one row per target on which inspectors agree, in the order of TARGETID: TARGETID,
            SPECTYPE, Z, QUALITY, BAL (+1, −1, 0 unknown), COMMENT, INSPECTORS (names joined by
            ``;``), INSPECTIONS (how many), OUTVOTED (how many of them disagree).
        conflicts: one row per other target: TARGETID, INSPECTIONS and CONFLICT, the labels in
            words, such as ``ann: QSO 2.31 (4); bob: STAR 0 (3)``.
    """

    labels: pd.DataFrame
    conflicts: pd.DataFrame


def reconcile(returned: pd.DataFrame, bal_recorded: bool = False) -> Reconciled:
    """Reconcile the inspectors of each target.

    Args:
        returned: TARGETID, SPECTYPE, Z, QUALITY, COMMENT and INSPECTOR of each label, as
            :func:`~qnal.labels.returned.read_returned` gives them.
        bal_recorded: whether inspectors noted every BAL, so that a confident quasar without such a
            comment is a non-BAL.
    """
    labels, conflicts = [], []
    ordered = returned.sort_values(["TARGETID", "INSPECTOR"], kind="stable")
    for targetid, rows in ordered.groupby("TARGETID", sort=True):
        agreeing = _agreeing(rows)
        if agreeing is None:
            words = "; ".join(_in_words(row) for row in rows.itertuples())
            conflicts.append((targetid, len(rows), words))
        else:
            labels.append(_label(targetid, rows, rows[agreeing], bal_recorded))
    columns = ["TARGETID", "SPECTYPE", "Z", "QUALITY", "BAL", "COMMENT", "INSPECTORS",
               "INSPECTIONS", "OUTVOTED"]  # fmt: skip
    return Reconciled(
        pd.DataFrame(labels, columns=columns),
        pd.DataFrame(conflicts, columns=["TARGETID", "INSPECTIONS", "CONFLICT"]),
    )


def agree(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which pairs of labels of one target agree, shape [rows, rows]."""
    spectype = rows["SPECTYPE"].to_numpy(str)
    z, quality = rows["Z"].to_numpy(float), rows["QUALITY"].to_numpy(float)
    unsure = quality < GOOD_QUALITY
    lower = np.fmin.outer(z, z)
    close = np.abs(np.subtract.outer(z, z)) < CONFLICT_DZ * (1 + lower)
    same = (spectype[:, None] == spectype) & close
    near = np.abs(np.subtract.outer(quality, quality)) < CONFLICT_QUALITY
    resolved = np.isfinite(quality)
    both: NDArray[np.bool_] = (unsure[:, None] & unsure) | (same & near)
    return both & (resolved[:, None] & resolved)


def _agreeing(rows: pd.DataFrame) -> NDArray[np.bool_] | None:
    """The largest group of labels that agree with each other, if it is more than half of them.

    The group is grown from each label in turn, in the order of the labels, best quality first.
    """
    pairs = agree(rows)
    order = np.argsort(-rows["QUALITY"].fillna(-1).to_numpy(float), kind="stable")
    best = np.zeros(len(rows), bool)
    for seed in order:
        group = np.zeros(len(rows), bool)
        for k in (seed, *order):
            if pairs[k, k] and pairs[k][group].all():
                group[k] = True
        if group.sum() > best.sum():
            best = group
    return best if 2 * best.sum() > len(rows) else None


def _label(
    targetid: object, rows: pd.DataFrame, agreeing: pd.DataFrame, bal_recorded: bool
) -> tuple[object, ...]:
    best = agreeing[agreeing["QUALITY"] == agreeing["QUALITY"].max()]
    quality = float(agreeing["QUALITY"].mean())
    said_by = zip(rows["INSPECTOR"].astype(str), rows["COMMENT"].astype(str), strict=True)
    comments = [f"{who}: {said}" for who, said in said_by if said]
    if len(rows) == 1:
        comments = [str(c) for c in rows["COMMENT"] if c]
    return (
        targetid,
        best["SPECTYPE"].iloc[0],
        float(best["Z"].mean()),
        quality,
        _bal(agreeing, best["SPECTYPE"].iloc[0], quality, bal_recorded),
        COMMENT_SEPARATOR.join(comments),
        ";".join(rows["INSPECTOR"]),
        len(rows),
        len(rows) - len(agreeing),
    )


def _bal(rows: pd.DataFrame, spectype: str, quality: float, bal_recorded: bool) -> int:
    """BAL by the comments; see docs/formats.md, "Truth tables"."""
    said = {bal_from_comment(comment) for comment in rows["COMMENT"]} - {None}
    confident = quality >= GOOD_QUALITY
    if said:
        return int(said == {1} and confident and spectype == "QSO")
    absent = confident and (spectype != "QSO" or bal_recorded)
    return -1 if absent else 0


def _in_words(row: object) -> str:
    quality = getattr(row, "QUALITY", np.nan)
    said = "unresolved" if np.isnan(quality) else f"{quality:g}"
    z = getattr(row, "Z", np.nan)
    redshift = "" if np.isnan(z) else f" {z:.4f}"
    return (
        f"{getattr(row, 'INSPECTOR', '')}: {getattr(row, 'SPECTYPE', '') or '?'}{redshift} ({said})"
    )
