"""Agreement between inspectors, for each pair that labelled the same targets."""

import warnings
from itertools import combinations

import numpy as np
import pandas as pd

from qnal.labels.truth import GOOD_QUALITY

COLUMNS = ["INSPECTOR_1", "INSPECTOR_2", "TARGETS", "SAME_CLASS", "KAPPA", "SAME_QUASARS",
           "DZ_MEDIAN", "DZ_NMAD", "DZ_MAX", "QUALITY_DIFFERENCE"]  # fmt: skip
BAD = "BAD"  # class of labels of low quality


def agreement(returned: pd.DataFrame) -> pd.DataFrame:
    """How well pairs of inspectors agree.

    Args:
        returned: TARGETID, SPECTYPE, Z, QUALITY and INSPECTOR of each label.

    Returns:
        One row per pair of inspectors with common targets: their number TARGETS; SAME_CLASS, the
        share of them in the same class (STAR, GALAXY, QSO, or BAD below quality 2.5); KAPPA,
        Cohen's κ of the classes (:func:`sklearn.metrics.cohen_kappa_score`; NaN where both
        inspectors used one and the same class only); SAME_QUASARS, the number of targets that both
        call quasar with confidence; median, 1.4826 × MAD and largest absolute value of
        Δz/(1+z) of these, second minus first; and the mean difference of quality.
    """
    from astropy.stats import mad_std
    from sklearn.metrics import cohen_kappa_score

    known = returned[returned["QUALITY"].notna()]
    kind = known["SPECTYPE"].where(known["QUALITY"] >= GOOD_QUALITY, BAD)
    by_inspector = {
        str(name): rows.set_index("TARGETID")
        for name, rows in known.assign(KIND=kind).groupby("INSPECTOR", sort=True)
    }
    found = []
    for first, second in combinations(by_inspector, 2):
        both = by_inspector[first].merge(
            by_inspector[second], left_index=True, right_index=True, suffixes=("_1", "_2")
        )
        if not len(both):
            continue
        same = both["KIND_1"] == both["KIND_2"]
        quasars = both[same & (both["KIND_1"] == "QSO")]
        dz = ((quasars["Z_2"] - quasars["Z_1"]) / (1 + quasars["Z_1"])).to_numpy(float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # κ is 0/0 where there is one class only
            kappa = float(cohen_kappa_score(both["KIND_1"], both["KIND_2"]))
        found.append(
            (
                *(first, second, len(both), float(same.mean()), kappa, len(quasars)),
                *((float(np.median(dz)), float(mad_std(dz))) if len(dz) else (np.nan, np.nan)),
                float(np.abs(dz).max()) if len(dz) else np.nan,
                float((both["QUALITY_2"] - both["QUALITY_1"]).mean()),
            )
        )
    return pd.DataFrame(found, columns=COLUMNS)
