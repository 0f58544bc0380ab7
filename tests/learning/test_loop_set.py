"""Targets: held out for good, and the seeds that strategies share."""

import numpy as np
import pytest

from qnal.errors import ConfigError
from qnal.labels.label import BadRows, Label
from qnal.learning.loop_set import LoopSet
from qnal.learning.oracle import Oracle


@pytest.fixture(scope="module")
def whole(labelled):
    return LoopSet(labelled, seed=5)


def test_held_out_targets(whole):
    held = whole.held_out(0.3)
    assert held.sum() == 900
    assert np.array_equal(held, whole.held_out(0.3))
    with pytest.raises(ConfigError, match=r"test=1e-09"):
        whole.held_out(1e-9)


def test_seed_labels(whole):
    held = whole.held_out(0.3)
    first, second = (whole.seed_targets(held, 200, repeat) for repeat in (0, 1))
    assert first == whole.seed_targets(held, 200, 0)
    assert len(set(first)) == len(first) == 200
    assert not held[first].any()
    # Of 2,100 targets two samples of 200 have 19 ± 4 in common.
    assert 5 < len(set(first) & set(second)) < 35
    assert whole.seed_targets(held, 100, 0) == first[:100]


def test_a_training_set_has_all_spectra_of_its_targets(whole):
    known = whole.training_set((3, 7), Oracle(), 0, BadRows.negative)
    assert known.column("ROW").tolist() == [6, 7, 14, 15]
    assert np.array_equal(known.x, whole.labelled.x[[6, 7, 14, 15]])


def test_cannot_tell_is_trained_as_bad_or_not_at_all(whole):
    targets, never_sure = tuple(range(50)), Oracle(1.0, 0.0, 1e9)
    known = whole.training_set(targets, never_sure, 0, BadRows.negative)
    assert len(known) == 100
    assert (known.column("LABEL") == Label.BAD).all()
    assert len(whole.training_set(targets, never_sure, 0, BadRows.drop)) == 0


def test_what_is_said_about_a_target_does_not_depend_on_the_others(whole):
    few = whole.training_set((3, 7), Oracle(0.5, 0.5, 9.0), 1, BadRows.negative).table
    many = whole.training_set(tuple(range(99)), Oracle(0.5, 0.5, 9.0), 1, BadRows.negative).table
    assert few.equals(many.iloc[[6, 7, 14, 15]].reset_index(drop=True))
