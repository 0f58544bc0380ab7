"""Targeting classes of labelled spectra, by the bits of DESI_TARGET."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# The same in DESI_TARGET and in SV1_, SV2_ and SV3_DESI_TARGET (desitarget's targetmask.yaml).
BITS = {"LRG": 0, "ELG": 1, "QSO": 2, "BGS_ANY": 60, "MWS_ANY": 61, "SCND_ANY": 62}


def target_classes(training_set: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and row mask of each class that a spectrum belongs to; a spectrum can be in several."""
    if "DESI_TARGET" not in training_set:
        return
    bits = training_set["DESI_TARGET"].to_numpy(np.int64)
    for name, bit in BITS.items():
        member = (bits >> bit) & 1 == 1
        if member.any():
            yield name, member
