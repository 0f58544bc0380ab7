"""The members of an ensemble, run by any backend."""

import numpy as np
import pytest

from qnal.errors import ConfigError, InputError
from qnal.inference.members import SeparateMembers, forward_passes, members_of
from qnal.inference.packing import Packing
from qnal.network.backends.forward import Backend
from qnal.network.precision import Precision


@pytest.mark.parametrize("backend", [Backend.numpy, Backend.tensorflow])
def test_packed_predictions_of_all_members(random_network, spectra, backend):
    networks = [random_network(k) for k in range(3)]
    packed = forward_passes(members_of(networks, backend), spectra)
    assert packed.deciding.shape == (7, 3) and packed.confidence.shape == (7, 6, 3)
    alone = forward_passes(members_of(networks[1:2], backend), spectra)
    np.testing.assert_allclose(packed.deciding[:, 1:2], alone.deciding, atol=1e-6)
    none = forward_passes(members_of(networks, backend), spectra[:0])
    assert none.z_best.shape == (0, 3)


def test_min_lines_chooses_the_deciding_confidence(random_network, spectra):
    network = random_network()
    packed = forward_passes(members_of([network], Backend.numpy, min_lines=3), spectra)
    confidence = Packing.of([network]).unpack(packed).confidence[:, :, 0]
    expected = np.sort(confidence, axis=1)[:, -3]
    np.testing.assert_allclose(packed.deciding[:, 0], expected, atol=1e-5)
    with pytest.raises(ConfigError, match="min_lines=7 cannot be used; these networks have 6"):
        members_of([network], Backend.numpy, min_lines=7)


def test_a_backend_without_bfloat16(random_network):
    with pytest.raises(ConfigError, match=r"cannot be used with backend=numpy"):
        members_of([random_network()], Backend.numpy, Precision.bfloat16)


def test_nan_is_an_error(random_network, spectra):
    broken = [(random_network(), lambda x: np.full((len(x), 7, 2, 13), np.nan))]
    with pytest.raises(InputError, match="not finite; its weight file must be corrupt"):
        forward_passes(SeparateMembers(broken), spectra)
