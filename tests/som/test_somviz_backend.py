"""The fit with the package SOMVIZ, if it is installed."""

import importlib.util

import numpy as np
import pytest

from qnal.errors import ConfigError
from qnal.som.somviz_backend import fit_with_somviz

INSTALLED = importlib.util.find_spec("somviz") is not None
SPECTRA = np.random.default_rng(0).normal(size=(60, 20))


@pytest.mark.skipif(INSTALLED, reason="SOMVIZ is installed")
def test_missing_package_is_explained():
    with pytest.raises(ConfigError, match=r"qnal\[somviz\]"):
        fit_with_somviz(SPECTRA, (3, 4), (True, True), seed=1)


@pytest.mark.skipif(not INSTALLED, reason="SOMVIZ is not installed (it is not on PyPI)")
def test_bmus_are_those_of_the_package():
    from somviz.som import Grid
    from somviz.som import SelfOrganizingMap as Peer

    fitted = fit_with_somviz(SPECTRA, (3, 4), (True, True), seed=1)
    peer = Peer(Grid(-3, -4))
    peer._weights = fitted.weights.T
    assert np.array_equal(fitted.find_bmu(SPECTRA)[0], peer.find_bmu(SPECTRA))
    assert fitted.loss[-1] < fitted.loss[0]
