"""Control picks: who can be drawn, how often, and what they stand for."""

import numpy as np
import pyarrow as pa
import pytest

from qnal.errors import ConfigError, InputError
from qnal.query.options import QueryOptions
from qnal.query.select import select
from qnal.query.strategies.random import Random

TARGETS = 1000


def query(table, n=5, **options):
    return select(table, QueryOptions(n=n, som_percentile=None, **options))


@pytest.fixture(scope="module")
def table():
    """Targets 0 … 999 with 1 to 3 spectra; most of them have a vote entropy of 0."""
    rng = np.random.default_rng(3)
    targetid = np.repeat(np.arange(TARGETS), rng.integers(1, 4, TARGETS))
    n = len(targetid)
    c_not = np.where(rng.random(n) < 0.9, 1.0, rng.integers(1, 10, n) / 10)
    return pa.table(
        {
            "TARGETID": targetid,
            "EXPID": np.arange(n),
            "C_NOT": c_not,
            "C_QSO_LZ": 1 - c_not,
            "C_QSO_HZ": np.zeros(n),
            "CAMERAS": pa.array(np.where(targetid % 10 == 0, 3, 7), pa.int8()),
        }
    )


def test_rows_are_picks_and_controls(table):
    without, selection = query(table), query(table, control=10)
    assert len(selection) == 15 and selection.control == 10
    assert selection.table["RANK"].to_pylist() == list(range(1, 16))
    assert selection.is_control.tolist() == [False] * 5 + [True] * 10
    assert len(set(selection.targetids.tolist())) == 15
    assert selection.targetids[:5].tolist() == without.targetids.tolist()
    assert selection.cut == without.cut  # controls of utility 0 do not count
    assert selection.control_population == TARGETS
    assert dict(selection.funnel)["selected, with control picks"] == 15
    assert without.control == 0 and without.control_population is None
    assert not without.is_control.any()


def test_a_control_pick_does_not_use_up_a_pick(table):
    """With so many controls that the best targets are among them, others move up."""
    best = query(table, n=20).targetids
    selection = query(table, n=20, control=500)
    controls = set(selection.targetids[selection.is_control].tolist())
    assert controls & set(best.tolist())
    assert len(selection) == 520
    rest = query(table, n=10**6).targetids
    expected = [t for t in rest.tolist() if t not in controls][:20]
    assert selection.targetids[:20].tolist() == expected


def test_they_are_uniform_over_targets_not_spectra(table):
    drawn = np.concatenate([
        s.targetids[s.is_control] for s in (query(table, control=400, seed=k) for k in range(5))
    ])  # fmt: skip
    spectra = np.bincount(table["TARGETID"].to_numpy())
    # 2,000 draws of targets with 2.0 ± 0.8 spectra on average; by spectra it would be 2.33.
    assert spectra[drawn].mean() == pytest.approx(spectra.mean(), abs=0.08)
    assert np.bincount(drawn, minlength=TARGETS).std() == pytest.approx(np.sqrt(1.2), rel=0.1)


def test_they_follow_the_seed_only(table):
    rng = np.random.default_rng(0)
    first = query(table, control=20)
    again = query(table.take(rng.permutation(len(table))), control=20, strategy=Random())
    controls = [s.targetids[s.is_control].tolist() for s in (first, again)]
    assert controls[0] == controls[1]
    other = query(table, control=20, seed=7)
    assert other.targetids[other.is_control].tolist() != controls[0]


def test_wanted_but_not_interesting_targets_can_be_drawn(table, tmp_path):
    """Sky, unusable and listed targets cannot be drawn; those with a dead camera can."""
    n = len(table)
    targetid = table["TARGETID"].to_numpy()
    table = table.append_column("OBJTYPE", pa.array(np.where(targetid < 100, "SKY", "TGT")))
    status = np.where(targetid >= 900, "no_signal", "ok")
    table = table.append_column("STATUS", pa.array(status))
    listed = tmp_path / "listed.txt"
    listed.write_text("".join(f"{t}\n" for t in range(100, 200)))
    dead = tmp_path / "dead.txt"
    dead.write_text("".join(f"{t}\n" for t in range(200, 300)))
    selection = query(table, control=600, exclude=[listed], bad_cameras=[dead], strategy=Random())
    assert n == len(table)
    controls = set(selection.targetids[selection.is_control].tolist())
    assert len(controls) == 600 and controls < set(range(200, 900))
    assert selection.control_population == 700
    with pytest.raises(InputError, match="control=700 cannot be used: 700 targets could be"):
        query(table, control=700, exclude=[listed])


def test_the_best_spectrum_stands_for_a_control(table):
    whole = query(table, control=900, n=50, camera="none").table.to_pydict()
    utility = dict(zip(whole["TARGETID"], whole["UTILITY"], strict=True))
    frame = table.to_pandas()
    p = frame[["C_NOT", "C_QSO_LZ"]].to_numpy()
    terms = np.where(p > 0, -p * np.log(np.where(p > 0, p, 1)), 0)
    best = terms.sum(axis=1)
    expected = frame.assign(u=best).groupby("TARGETID").u.max()
    for target, value in utility.items():
        assert value == pytest.approx(expected[target], abs=1e-11)


def test_negative_numbers_are_refused():
    with pytest.raises(ConfigError, match="control=-1 cannot be used"):
        QueryOptions(n=1, control=-1)
