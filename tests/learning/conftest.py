import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.labelled_set import LabelledSet
from qnal.labels.label import Label


@pytest.fixture(scope="package")
def labelled() -> LabelledSet:
    """Two spectra of each of 3,000 targets, with classes and signal-to-noise."""
    rng = np.random.default_rng(4)
    targets = 3000
    label = rng.choice([0, 1, 2, 3, 4], targets, p=[0.25, 0.2, 0.25, 0.25, 0.05]).repeat(2)
    quasar = (label == Label.QSO_LZ) | (label == Label.QSO_HZ)
    z = np.where(label == Label.QSO_LZ, 1.2, 2.8) + np.repeat(rng.uniform(0, 0.8, targets), 2)
    table = pd.DataFrame(
        {
            "SOURCE": "desi",
            "TARGETID": np.arange(targets).repeat(2) + 10**16,
            "EXPID": np.tile([1, 2], targets),
            "FILE": "coadd.fits",
            "ROW": np.arange(2 * targets, dtype=np.int32),
            "SNR": rng.exponential(2, targets).repeat(2).astype(np.float32),
            "LABEL": label.astype(np.int8),
            "Z": np.where(quasar, z, 0.0),
            "BAL": rng.integers(-1, 2, targets).repeat(2).astype(np.int8),
        }
    )
    return LabelledSet(rng.normal(size=(2 * targets, 5)).astype(np.float32), table)
