"""Labels with which the out-of-bag ensemble confidently disagrees.

Confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70, arXiv:1911.00068): the threshold of a
class is the mean probability of the class over the targets that are labelled with it. A label is
suspected if the probability of another class exceeds that class's threshold and that of every other
class. Targets are ranked by the normalised margin, the probability of the labelled class minus the
largest of the others.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.votes import CLASSES
from qnal.labels.label import Label

CLASS_OF_LABEL = {Label.STAR: 0, Label.GALAXY: 0, Label.QSO_LZ: 1, Label.QSO_HZ: 2}


def suspected_labels(
    training_set: pd.DataFrame, probabilities: NDArray[np.floating]
) -> pd.DataFrame:
    """Rank the confident labels by how strongly the ensemble disagrees with them.

    Args:
        training_set: SOURCE, TARGETID, LABEL and Z of each spectrum.
        probabilities: out-of-bag probabilities of :data:`~qnal.ensemble.votes.CLASSES`, shape
            [rows, 3]; NaN without a prediction. Those of the exposures of a target are averaged.

    Returns:
        One row per target with a confident label and a prediction, the most doubtful first: RANK
        from 1, SOURCE, TARGETID, LABEL (name), Z, SPECTRA, PREDICTED (most probable class),
        P_LABEL, P_PREDICTED, MARGIN and SUSPECTED.
    """
    label = training_set["LABEL"].to_numpy()
    given = np.array([CLASS_OF_LABEL.get(Label(k), -1) for k in label])
    use = (given >= 0) & ~np.isnan(probabilities).any(axis=1)
    rows = training_set.loc[use, ["SOURCE", "TARGETID", "LABEL", "Z"]].assign(GIVEN=given[use])
    names = [f"P_{name}" for name in CLASSES]
    rows[names] = probabilities[use]
    how = {"LABEL": "first", "Z": "first", "GIVEN": "first"} | dict.fromkeys(names, "mean")
    targets = rows.groupby(["SOURCE", "TARGETID"], sort=True)
    table = targets.agg(how).assign(SPECTRA=targets.size()).reset_index()
    p, given = table[names].to_numpy(float), table["GIVEN"].to_numpy(int)
    index = np.arange(len(table))
    others = p.copy()
    others[index, given] = -np.inf
    rival = others.argmax(axis=1) if len(table) else given
    of_class = [given == k for k in range(len(CLASSES))]
    threshold = np.array([p[m, k].mean() if m.any() else np.inf for k, m in enumerate(of_class)])
    confident = np.where(p >= threshold, p, -np.inf)
    suspected = np.isfinite(confident).any(axis=1) & (confident.argmax(axis=1) != given)
    out = pd.DataFrame(
        {
            "SOURCE": table["SOURCE"],
            "TARGETID": table["TARGETID"],
            "LABEL": [Label(k).name for k in table["LABEL"]],
            "Z": table["Z"],
            "SPECTRA": table["SPECTRA"],
            "PREDICTED": np.array(CLASSES)[p.argmax(axis=1)] if len(table) else [],
            "P_LABEL": p[index, given],
            "P_PREDICTED": p.max(axis=1) if len(table) else [],
            "MARGIN": p[index, given] - others[index, rival],
            "SUSPECTED": suspected,
        }
    )
    out = out.sort_values(["MARGIN", "SOURCE", "TARGETID"], kind="stable").reset_index(drop=True)
    out.insert(0, "RANK", np.arange(1, len(out) + 1))
    return out
