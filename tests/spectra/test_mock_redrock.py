"""Mock results of Redrock: neutral for the other files, and wrong in the known ways."""

import numpy as np
import pytest

from qnal.spectra.mock import MockConfig, write_survey
from qnal.spectra.mock.redrock import results
from qnal.spectra.mock.targets import draw_targets
from qnal.stages.inputs import mock_fingerprint


def test_the_other_files_are_the_same_bytes(tmp_path):
    written = {}
    for redrock in (False, True):
        config = MockConfig(labelled=0, boss=0, pool=20, fibres=10, redrock=redrock)
        root = tmp_path / str(redrock)
        write_survey(config, root)
        written[redrock] = {
            p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()
        }
    assert written[False].items() <= written[True].items()
    names = {p.name.split("-")[0] for p in written[True].keys() - written[False].keys()}
    assert names == {"redrock", "qso_mgii"}
    assert mock_fingerprint(MockConfig(redrock=False)) == mock_fingerprint(MockConfig())


@pytest.fixture(scope="module")
def targets():
    config = MockConfig()
    mix = {"qso": 0.6, "galaxy": 0.2, "star": 0.1, "sky": 0.1}
    return draw_targets(np.random.default_rng(1), 2000, mix, config).without_spectra()


def test_errors_are_those_that_are_known(targets):
    table, mgii = results(np.random.default_rng(2), targets)
    quasar = targets.spectype == "QSO"
    low = quasar & (targets.z < 2.1)
    galaxy = np.char.strip(table["SPECTYPE"].astype(str)) == "GALAXY"
    assert (galaxy & low).sum() / low.sum() == pytest.approx(0.12, abs=0.03)
    assert not (galaxy & quasar & ~low).any()
    end = low & galaxy & (table["Z"] > 1.58) & (table["Z"] < 1.7)
    assert end.sum() / (galaxy & low).sum() == pytest.approx(0.4, abs=0.15)
    confident = table["ZWARN"][low & galaxy] == 0
    assert confident.mean() > 0.7
    right = np.abs(table["Z"] - targets.z) < 0.01 * (1 + targets.z)
    assert right[quasar].mean() > 0.85 and (table["ZWARN"][targets.spectype == "SKY"] > 0).any()
    assert not mgii["IS_QSO_MGII"][~(low & galaxy)].any()
