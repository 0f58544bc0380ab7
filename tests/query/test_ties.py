"""Ties between the spectra of a target, broken before or after the selection."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qnal.query.filters.best_signal_to_noise import BestSignalToNoise
from qnal.query.filters.best_spectrum import BestSpectrum
from qnal.query.filters.filter import Filter
from qnal.query.filters.live_cameras import LiveCameras
from qnal.query.filters.science_targets import ScienceTargets
from qnal.query.filters.sql_condition import SqlCondition
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.strategies.herding import Herding
from qnal.query.strategies.vote_entropy import VoteEntropy
from qnal.query.ties import ties_can_wait


class Everything(Filter):
    """A plug-in that keeps all spectra and may look at EXPID, FILE and ROW."""

    name = "everything"

    def keep(self, candidates):
        return f"FROM {candidates.rows} WHERE FILE IS NOT NULL OR true"


@pytest.fixture
def parts(tmp_path):
    """1,200 spectra of 300 targets by 5 members, so that most targets have ties."""
    random = np.random.default_rng(3)
    rows = 400
    for part in range(3):
        votes = random.multinomial(5, [0.6, 0.3, 0.1], rows) / 5
        table = {
            "TARGETID": random.integers(-5, 300, rows),
            "EXPID": pa.array(random.integers(0, 3, rows), mask=random.random(rows) < 0.3),
            "TILEID": random.integers(0, 9, rows),
            "FILE": [f"tiles/{number}.fits" for number in random.integers(0, 2, rows)],
            "ROW": random.permutation(rows),
            "CAMERAS": pa.array(np.where(random.random(rows) < 0.3, 3, 7), pa.int8()),
            "BMU": random.integers(0, 9, rows),
        }
        shares = dict(zip(("C_NOT", "C_QSO_LZ", "C_QSO_HZ"), votes.T.astype("f4"), strict=True))
        pq.write_table(pa.table(table | shares), tmp_path / f"{part}.parquet")
    return tmp_path


@pytest.mark.parametrize("control", [0, 40])
def test_they_may_be_broken_at_any_time(parts, control):
    steps = [ScienceTargets(), BestSpectrum(), LiveCameras()]
    late, early = (
        select(parts, QueryOptions(n=70, control=control, steps=listed), cells=9)
        for listed in (steps, [*steps, Everything()])
    )
    assert late.table.equals(early.table)
    assert len(late) == 70 + control and len(set(late.targetids)) == 70 + control
    assert late.control_population == early.control_population
    assert late.notes == early.notes
    assert late.funnel == [step for step in early.funnel if step[0] != "everything"]
    np.testing.assert_array_equal(late.histogram.after, early.histogram.after)


def test_they_wait_only_where_nothing_looks_at_the_best_spectrum():
    usual = [ScienceTargets(), BestSpectrum(), LiveCameras()]
    assert ties_can_wait(VoteEntropy(), usual)
    assert not ties_can_wait(Herding(), usual)
    assert not ties_can_wait(VoteEntropy(), [*usual, SqlCondition("Z > 2")])
    assert not ties_can_wait(VoteEntropy(), [Everything(), *usual])
    assert not ties_can_wait(VoteEntropy(), [BestSignalToNoise()])
