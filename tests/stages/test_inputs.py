"""The mock survey's folder."""

from dataclasses import replace

from qnal.fingerprint import fingerprint
from qnal.spectra.mock.config import MockConfig
from qnal.stages.inputs import MOCK_VERSION, mock_fingerprint
from qnal.stages.work_folder import to_dict

# Digest of all defaults in this version. If a default changes, bump MOCK_VERSION; a new key whose
# default changes nothing only needs a new digest here.
DEFAULTS = {1: "45635ef877721f97f939899728613e631bbbebefac218a54dd6e1bc5a8b4a82b"}


def test_only_values_that_differ_from_the_defaults_name_a_survey():
    assert mock_fingerprint(MockConfig()) == fingerprint({"version": MOCK_VERSION})
    changed = mock_fingerprint(replace(MockConfig(), pool=7))
    assert changed == fingerprint({"version": MOCK_VERSION, "pool": 7})


def test_other_defaults_are_another_version():
    assert fingerprint(to_dict(MockConfig())) == DEFAULTS[MOCK_VERSION]
