import numpy as np
import pandas as pd
import pytest

THREADS = 1  # as conf/train has it, for all tests that share this process


@pytest.fixture(scope="session", autouse=True)
def same_threads():
    from qnal.ensemble.member import use_threads

    use_threads(THREADS)


@pytest.fixture(scope="session")
def spectra():
    """Numbers in the shape of seven renormalised spectra on the log grid."""
    return np.random.default_rng(5).normal(size=(7, 443)).astype(np.float32)


@pytest.fixture(scope="session")
def out_of_bag_table():
    """Something to store beside a member's weights."""
    return pd.DataFrame({"INDEX": [0], "TARGETID": [7], "DECIDING": [0.5], "Z_BEST": [1.0]})
