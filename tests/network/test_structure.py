import numpy as np
import pytest

from qnal.errors import ConfigError
from qnal.lines import (
    QUASARNET_BAL_LINES,
    QUASARNET_LINES,
    REST_WAVELENGTH,
    column_names,
    rest_wavelength,
)
from qnal.network.network import Padding, apply_numpy
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid


def structure(**options):
    return Structure(named_grid("log"), QUASARNET_LINES, QUASARNET_BAL_LINES, **options)


@pytest.mark.parametrize(("layers", "parameters"), [(4, 520_882), (6, 591_482)])
def test_trainable_parameters(layers, parameters):
    """Numbers of weights on the log grid with 7 heads (docs/formats.md)."""
    network = structure(layers=layers).initial(np.random.default_rng(0))
    size = sum(
        array.size
        for arrays in network.arrays().values()
        for name, array in arrays.items()
        if not name.startswith("moving")
    )
    assert size == parameters
    padding = Padding.same if layers == 6 else Padding.valid
    assert {conv.padding for conv in network.convs} == {padding}


def test_kernels_are_glorot_uniform():
    network = structure().initial(np.random.default_rng(0))
    for kernel, fans in (
        (network.convs[1].kernel, 10 * 100 + 10 * 100),
        (network.dense_kernel, 2000 + 100),
        (network.head_kernel, 100 + 13),
    ):
        limit = np.sqrt(6 / fans)
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert abs(kernel.std() - limit / np.sqrt(3)) < 0.02 * limit


def test_too_deep_without_padding():
    with pytest.raises(ConfigError, match="layers=6 leaves no pixels"):
        structure(layers=6, padding=Padding.valid).initial(np.random.default_rng(0))


def test_zeros_give_halves():
    """For a spectrum of zeros, an untrained network gives sigmoids of 0."""
    network = structure(filters=4).initial(np.random.default_rng(0))
    said = apply_numpy(network, np.zeros((2, 443)))
    np.testing.assert_allclose(said[:, :, 0], 0.5)
    np.testing.assert_allclose(said[:, :, 1], 0.5)  # −0.1 + 1.2/2


def test_line_table():
    assert len(REST_WAVELENGTH) == 39
    assert rest_wavelength("LYA") == 1215.67 and rest_wavelength("Halpha") == 6562.8
    with pytest.raises(ConfigError, match="'CIV' is not a known line; valid names: Halpha, "):
        rest_wavelength("CIV")


def test_column_names():
    names = column_names(QUASARNET_LINES)
    assert names == ["LYA", "CIV", "CIII", "MgII", "Hbeta", "Halpha"]
    both = ["CIV(1548)", "CIV(1551)", "LYA"]
    assert column_names(both) == both
