"""Suspected label errors as a selection, so that people can look at the spectra again."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from qnal.ensemble.votes import CLASSES
from qnal.labels.picks import SUSPECTED

BOSS = "boss"  # source of spectra that the inspection page cannot read


def suspected_selection(
    suspected: pd.DataFrame, spectra: pd.DataFrame, path: Callable[[str, int, str], str]
) -> pd.DataFrame:
    """One row per suspected target, the most doubtful first, with its most doubtful spectrum.

    Args:
        suspected: what :func:`~qnal.ensemble.evaluation.suspected_labels.suspected_labels`
            returned. Targets of BOSS are left out.
        spectra: the labelled spectra with SOURCE, TARGETID, EXPID, FILE, ROW, and OOB_SHARE,
            OOB_Z, OOB_P_NOT, OOB_P_QSO_LZ and OOB_P_QSO_HZ of their out-of-bag predictions.
        path: the file of a spectrum, from its SOURCE, TARGETID and FILE.

    Returns:
        The columns that ``stage=inspect`` reads: RANK from 1, TARGETID, EXPID, FILE, ROW, the
        out-of-bag vote shares C_NOT, C_QSO_LZ and C_QSO_HZ (that of the quasar votes at the more
        probable of the two), redshift Z and probabilities P_NOT, P_QSO_LZ and P_QSO_HZ, LABEL,
        STRATEGY, CONTROL and REASON.
    """
    marked = suspected[suspected["SUSPECTED"] & (suspected["SOURCE"] != BOSS)]
    names = ["SOURCE", "TARGETID", "LABEL", "PREDICTED", "P_PREDICTED"]
    rows = marked[names].rename_axis("PLACE").reset_index().merge(
        spectra.drop(columns="LABEL", errors="ignore"), on=["SOURCE", "TARGETID"]
    )  # fmt: skip
    probability = rows[[f"OOB_P_{name}" for name in CLASSES]].to_numpy(float)
    predicted = np.array([CLASSES.index(name) for name in rows["PREDICTED"]], int)
    rows["CONFIDENCE"] = np.nan_to_num(probability[np.arange(len(rows)), predicted], nan=-1)
    rows = rows.sort_values(["PLACE", "CONFIDENCE"], ascending=[True, False], kind="stable")
    rows = rows.drop_duplicates("TARGETID").reset_index(drop=True)
    share = rows["OOB_SHARE"].to_numpy(float)
    high = rows["OOB_P_QSO_HZ"].to_numpy(float) > rows["OOB_P_QSO_LZ"].to_numpy(float)
    return pd.DataFrame(
        {
            "RANK": np.arange(1, len(rows) + 1),
            "TARGETID": rows["TARGETID"],
            "EXPID": rows["EXPID"],
            "FILE": [
                path(str(source), int(targetid), str(file))
                for source, targetid, file in zip(
                    rows["SOURCE"], rows["TARGETID"], rows["FILE"], strict=True
                )
            ],
            "ROW": rows["ROW"],
            "C_NOT": 1 - share,
            "C_QSO_LZ": np.where(high, 0, share),
            "C_QSO_HZ": np.where(high, share, 0),
            "Z": rows["OOB_Z"],
            **{f"P_{name}": rows[f"OOB_P_{name}"] for name in CLASSES},
            "LABEL": rows["LABEL"],
            "STRATEGY": SUSPECTED,
            "CONTROL": False,
            "REASON": [
                f"labelled {label}, and the out-of-bag ensemble says {predicted} ({p:.0%})"
                for label, predicted, p in zip(
                    rows["LABEL"], rows["PREDICTED"], rows["P_PREDICTED"], strict=True
                )
            ],
        }
    )
