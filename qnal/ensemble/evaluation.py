"""How good an ensemble is on labelled spectra its members have not seen."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.votes import MAD_TO_SIGMA, Thresholds, consensus_z, votes
from qnal.spectra.label import Label, is_quasar

GOOD_DZ = 0.05
Metrics = dict[str, float | None]


def quality(
    label: NDArray[np.integer],
    z: NDArray[np.floating],
    quasar: NDArray[np.bool_],
    z_answer: NDArray[np.floating],
) -> Metrics:
    """Completeness, purity and redshift error of answers; undefined ones are None.

    Completeness is the share of confident quasars called quasar; purity the share of confident
    quasars among the confidently labelled spectra called quasar; the ``_z`` variants also ask for
    |Δz| < 0.05(1+z). BAD labels are left out of all. ``z_nmad`` is 1.4826 × the median of
    |Δz/(1+z) − median| of the quasars found.

    Args:
        label: :class:`Label`, shape [rows].
        z: true redshift, shape [rows].
        quasar: whether the answer is quasar, shape [rows].
        z_answer: its redshift, shape [rows].
    """
    truth, confident = is_quasar(label), label != Label.BAD
    dz = np.where(truth, (z_answer - z) / (1 + z), np.inf)
    found, good = truth & quasar, truth & quasar & (np.abs(dz) < GOOD_DZ)
    called = int((quasar & confident).sum())
    error = dz[found]
    return {
        "completeness": _ratio(found.sum(), truth.sum()),
        "purity": _ratio(found.sum(), called),
        "completeness_z": _ratio(good.sum(), truth.sum()),
        "purity_z": _ratio(good.sum(), called),
        "z_bias": float(np.median(error)) if len(error) else None,
        "z_nmad": (
            float(MAD_TO_SIGMA * np.median(np.abs(error - np.median(error))))
            if len(error)
            else None
        ),
        "z_outliers": _ratio((np.abs(error) >= GOOD_DZ).sum(), len(error)),
    }


def _ratio(part: int | np.integer, whole: int | np.integer) -> float | None:
    return float(part / whole) if whole else None


def combined_answer(
    members: Sequence[pd.DataFrame], rows: int, thresholds: Thresholds
) -> pd.DataFrame:
    """The out-of-bag answer of an ensemble: the majority vote of the members that may answer.

    Args:
        members: one table a member, with INDEX (row of the training set), DECIDING and Z_BEST.
        rows: length of the training set.

    Returns:
        One row a spectrum: MEMBERS (how many answered), SHARE (of them that vote quasar), QUASAR
        (more than half do; of a tie, whether their mean confidence is above a half, which is the
        class of the larger mean soft probability) and Z (NaN where no member may answer).
    """
    deciding = np.full((rows, len(members)), np.nan, np.float32)
    z_best = np.full((rows, len(members)), np.nan)
    for k, table in enumerate(members):
        deciding[table["INDEX"], k] = table["DECIDING"]
        z_best[table["INDEX"], k] = table["Z_BEST"]
    answered = ~np.isnan(deciding)
    count = answered.sum(axis=1)
    vote = votes(np.nan_to_num(deciding), np.nan_to_num(z_best), thresholds)
    quasars = ((vote > 0) & answered).sum(axis=1)
    z = np.full(rows, np.nan)
    for size in np.unique(count[count > 0]):
        of_size = np.flatnonzero(count == size)  # rows that as many members answer for
        picked = answered[of_size]
        shape = (len(of_size), size)
        z[of_size], _ = consensus_z(
            z_best[of_size][picked].reshape(shape), vote[of_size][picked].reshape(shape)
        )
    share = np.divide(quasars, count, out=np.full(rows, np.nan), where=count > 0)
    # Few members may answer for a spectrum, so ties are common; they are not all non-quasars.
    mean_confidence = np.nansum(deciding, axis=1) / np.maximum(count, 1)
    quasar = (share > 0.5) | ((share == 0.5) & (mean_confidence > 0.5))
    return pd.DataFrame({"MEMBERS": count, "SHARE": share, "QUASAR": quasar, "Z": z})


def evaluate(training_set: pd.DataFrame, answer: pd.DataFrame) -> Metrics:
    """Metrics of out-of-bag answers, of all sources together and of each (``boss_purity``, …)."""
    answered = answer["MEMBERS"].to_numpy() > 0
    metrics: Metrics = {"spectra": int(answered.sum()), "without": int((~answered).sum())}
    for source in [None, *sorted(training_set["SOURCE"].unique())]:
        use = answered if source is None else answered & (training_set["SOURCE"] == source)
        values = quality(
            training_set["LABEL"].to_numpy()[use],
            training_set["Z"].to_numpy()[use],
            answer["QUASAR"].to_numpy()[use],
            answer["Z"].to_numpy()[use],
        )
        prefix = "" if source is None else f"{source}_"
        metrics |= {f"{prefix}{name}": value for name, value in values.items()}
    return metrics
