"""Golden fingerprints: what exists must not be orphaned by a change of the code."""

from dataclasses import replace

import numpy as np

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.combination import CombinationRule
from qnal.ensemble.votes import Thresholds
from qnal.fingerprint import fingerprint
from qnal.inference.input_file import Reading
from qnal.inference.keys import dataset_key, predictions_key
from qnal.inference.packing import Packing
from qnal.inference.score_options import Passes
from qnal.network.backends.forward import Backend
from qnal.network.precision import Precision
from qnal.spectra.file_version import Verify
from qnal.spectra.grid import Grid, named_grid
from qnal.spectra.readers.desi import Desi

PREDICTIONS = "98e3ff30df887c8bf5209743ffb5b828f6bf35431691b26ab66a789a5624fa07"
DATASET = "4bf371ec017c3ed671f2102b31613c7e0e03a4e0ae27a3ee164aa9765c46c5d4"
# Wavelengths and bounds that are the same to the last bit on every machine.
READING, PASSES = Reading(Grid("log", np.arange(3600.0, 4000.0, 4.0), logarithmic=True)), Passes()
PACKING = Packing(("LYA", "CIV(1548)"), ("CIV(1548)",), 8.0, 9.0, exact=False)
RULE = CombinationRule(Thresholds())


def key(packing=PACKING, reading=READING, passes=PASSES, min_lines=1):
    return predictions_key(packing, reading, passes, min_lines)


def of_dataset(checksums=("1" * 64, "2" * 64), rule=RULE, pool=("mock/0/pool",)):
    return dataset_key(key(), checksums, rule, pool)


def test_golden_fingerprints():
    assert fingerprint(key()) == PREDICTIONS
    assert fingerprint(of_dataset()) == DATASET


def test_what_predictions_depend_on():
    others = [
        key(PACKING, reading=replace(READING, reader=Desi(use_mask=False))),
        key(PACKING, reading=replace(READING, sky=False)),
        key(PACKING, reading=Reading(named_grid("linear"))),
        key(PACKING, passes=replace(PASSES, backend=Backend.numpy)),
        key(PACKING, passes=replace(PASSES, precision=Precision.auto)),
        key(PACKING, passes=replace(PASSES, precision=Precision.bfloat16)),
        key(PACKING, passes=replace(PASSES, batch_size=64)),
        key(PACKING, min_lines=2),
        key(replace(PACKING, lines=("LYA",))),
    ]
    assert len({fingerprint(k) for k in [key(), *others]}) == 1 + len(others)
    same = key(PACKING, replace(READING, verify=Verify.content), replace(PASSES, threads=4))
    assert same == key()


def test_what_scores_depend_on():
    calibration = Calibration(1.2, 0.1)
    others = [
        of_dataset(checksums=("1" * 64,)),
        of_dataset(pool=("elsewhere",)),
        of_dataset(rule=replace(RULE, thresholds=Thresholds(0.5))),
        of_dataset(rule=replace(RULE, thresholds=Thresholds(high_z=2.5))),
        of_dataset(rule=replace(RULE, calibration=calibration)),
        of_dataset(rule=replace(RULE, bal_trained=False)),
    ]
    names = {fingerprint(k) for k in [of_dataset(), *others]}
    assert len(names) == 1 + len(others)
