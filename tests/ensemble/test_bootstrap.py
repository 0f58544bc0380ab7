import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnal.ensemble.bootstrap import Bootstrap, draw_bag, out_of_bag, streams

TARGETIDS = st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 4), min_size=1, max_size=40).map(
    lambda ids: np.array(ids, np.int64)
)


@given(TARGETIDS, st.sampled_from(Bootstrap), st.integers(0, 9))
def test_no_exposure_of_an_out_of_bag_target_is_in_the_bag(targetid, kind, seed):
    bag = draw_bag(targetid, kind, np.random.default_rng(seed))
    oob = out_of_bag(targetid, bag)
    assert ((bag >= 0) & (bag < len(targetid))).all()
    assert not set(targetid[bag]) & set(targetid[oob])
    # Rows of all targets outside the bag, in ascending order.
    assert set(targetid[bag]) | set(targetid[oob]) == set(targetid)
    assert (np.diff(oob) > 0).all()


@given(TARGETIDS, st.integers(0, 9))
def test_targets_come_with_all_their_exposures(targetid, seed):
    bag = draw_bag(targetid, Bootstrap.targets, np.random.default_rng(seed))
    times = np.bincount(bag, minlength=len(targetid))
    targets = np.unique(targetid)
    drawn = 0
    for target in targets:
        of_target = np.unique(times[targetid == target])
        assert len(of_target) == 1  # all exposures are drawn equally often
        drawn += of_target[0]
    assert drawn == len(targets)


@given(TARGETIDS, st.integers(0, 9))
def test_rows_are_as_many_as_there_are(targetid, seed):
    assert len(draw_bag(targetid, Bootstrap.rows, np.random.default_rng(seed))) == len(targetid)


@pytest.mark.parametrize("kind", list(Bootstrap))
def test_a_bag_leaves_out_37_per_cent(kind):
    targetid = np.arange(20_000)
    bag = draw_bag(targetid, kind, np.random.default_rng(0))
    assert len(bag) == 20_000
    assert len(out_of_bag(targetid, bag)) / 20_000 == pytest.approx(np.exp(-1), abs=0.01)


def test_streams_follow_from_seed_and_member_alone():
    def numbers(*key):
        s = streams(*key)
        return [rng.integers(2**62) for rng in (s.bag, s.weights, s.fit)]

    assert numbers(91701, 3) == numbers(91701, 3)
    keys = [(91701, 0), (91701, 1), (91702, 0), (91702, 1), (91701, 0, 1), (91701, 1, 1)]
    every = [n for key in keys for n in numbers(*key)]
    assert len(set(every)) == len(every) == 18
