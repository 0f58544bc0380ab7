import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.labels.label import Label


@pytest.fixture(scope="package")
def evaluated():
    """A labelled set, and the out-of-bag predictions of twelve over-confident members."""
    rng = np.random.default_rng(11)
    rows, members = 600, 12
    label = rng.choice(5, rows, p=[0.2, 0.2, 0.25, 0.3, 0.05])
    quasar = (label == Label.QSO_LZ) | (label == Label.QSO_HZ)
    z = np.where(label == Label.QSO_LZ, rng.uniform(0.3, 2.1, rows), rng.uniform(2.1, 4.5, rows))
    snr = rng.lognormal(0.5, 0.7, rows).astype(np.float32)
    table = pd.DataFrame(
        {
            "SOURCE": np.where(np.arange(rows) < 200, "boss", "desi"),
            "TARGETID": np.arange(rows) // 2,
            "EXPID": -1,
            "FILE": "coadd.fits",
            "ROW": np.arange(rows),
            "SNR": snr,
            "LABEL": label,
            "Z": np.where(quasar, z, 0.0),
            "BAL": rng.integers(-1, 2, rows),
        }
    )
    evidence = np.where(quasar, 1, -1) * (1 + np.log(snr)) + rng.normal(0, 1, rows)
    logit = 4 * evidence[:, None] + rng.normal(0, 2, (rows, members))
    bal = rng.uniform(0, 1, (rows, members)) + 0.3 * table["BAL"].to_numpy()[:, None]
    z_best = z[:, None] + rng.normal(0, 0.02, (rows, members)) * (1 + z[:, None])
    absent = rng.uniform(size=(300, members)).repeat(2, axis=0) > 0.37  # by target
    deciding, z_best, bal = (
        np.where(absent, np.nan, a) for a in (1 / (1 + np.exp(-logit)), z_best, bal)
    )
    return table, OutOfBag(deciding.astype(np.float32), z_best, bal.astype(np.float32))
