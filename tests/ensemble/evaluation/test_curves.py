"""Completeness and purity by threshold, signal-to-noise and redshift; the confusion matrix."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnal.ensemble.evaluation.curves import (
    ALL,
    by_redshift,
    by_snr,
    by_threshold,
    confusion,
    share_interval,
    sources,
)
from qnal.ensemble.evaluation.metrics import evaluate
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label


def test_interval_by_hand():
    # k = 8 of n = 10, one standard deviation: centre 0.85/1.1, half √(0.016 + 0.0025)/1.1
    low, high = share_interval(np.array([8, 0, 10, 0]), np.array([10, 10, 10, 0]))
    assert low[0] == pytest.approx((0.85 - np.sqrt(0.0185)) / 1.1, rel=1e-5)
    assert high[0] == pytest.approx((0.85 + np.sqrt(0.0185)) / 1.1, rel=1e-5)
    assert low[1] == pytest.approx(0, abs=1e-12) and high[1] == pytest.approx(1 / 11, rel=1e-4)
    assert low[2] == pytest.approx(10 / 11, rel=1e-4) and high[2] == pytest.approx(1)
    assert np.isnan([low[3], high[3]]).all()


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_contains_the_share(counts):
    k, n = counts
    low, high = share_interval(np.array([k]), np.array([n]))
    assert 0 <= low[0] <= k / n + 1e-12 and k / n - 1e-12 <= high[0] <= 1 + 1e-12


def test_sources_one_by_one_only_if_there_are_several():
    both = pd.DataFrame({"SOURCE": ["boss", "desi", "desi"]})
    assert [(name, use.sum()) for name, use in sources(both)] == [
        (ALL, 3),
        ("boss", 1),
        ("desi", 2),
    ]
    assert [name for name, _ in sources(both[1:])] == [ALL]


def test_curve_at_the_threshold_in_use_equals_the_metrics(evaluated):
    table, oob = evaluated
    for threshold in (0.95, 0.6123):
        thresholds = Thresholds(line_threshold=threshold)
        curve = by_threshold(table, oob, thresholds)
        metrics = evaluate(table, oob.combined(thresholds))
        for source, prefix in ((ALL, ""), ("boss", "boss_"), ("desi", "desi_")):
            at = curve[(curve["SOURCE"] == source) & (curve["THRESHOLD"] == threshold)].iloc[0]
            assert at["COMPLETENESS"] == pytest.approx(metrics[f"{prefix}completeness"])
            assert at["PURITY"] == pytest.approx(metrics[f"{prefix}purity"])


def test_a_higher_threshold_finds_no_more(evaluated):
    curve = by_threshold(*evaluated, Thresholds())
    for _, of_source in curve.groupby("SOURCE"):
        assert of_source["THRESHOLD"].is_monotonic_increasing
        for name in ("COMPLETENESS", *(f"MEMBER_COMPLETENESS_{p}" for p in (16, 50, 84))):
            assert of_source[name].is_monotonic_decreasing
        low, middle, high = (of_source[f"MEMBER_PURITY_{p}"].dropna() for p in (16, 50, 84))
        assert (low <= middle).all() and (middle <= high).all()


def test_members_by_hand(evaluated):
    """Percentiles over the members, computed one by one at one threshold."""
    table, oob = evaluated
    curve = by_threshold(table, oob, Thresholds())
    at = curve[(curve["SOURCE"] == ALL) & (curve["THRESHOLD"] == 0.5)].iloc[0]
    quasar = table["LABEL"].isin([Label.QSO_LZ, Label.QSO_HZ]).to_numpy()
    counted = (table["LABEL"] != Label.BAD).to_numpy()
    completeness, purity = [], []
    for c in oob.deciding.T:
        completeness.append((c[quasar & ~np.isnan(c)] > 0.5).mean())
        purity.append(quasar[counted & (c > 0.5)].mean())
    assert at["MEMBER_COMPLETENESS_50"] == pytest.approx(np.median(completeness))
    assert at["MEMBER_PURITY_16"] == pytest.approx(np.percentile(purity, 16))


def test_bins_add_up(evaluated):
    table, oob = evaluated
    combined = oob.combined(Thresholds())
    counted = (table["LABEL"] != Label.BAD) & (combined["MEMBERS"] > 0)
    quasar = table["LABEL"].isin([Label.QSO_LZ, Label.QSO_HZ])
    for binned in (by_snr(table, combined), by_redshift(table, combined)):
        total = binned[binned["SOURCE"] == ALL].sum(numeric_only=True)
        assert total["QUASARS"] == (counted & quasar).sum()
        assert total["CALLED"] == (counted & combined["QUASAR"]).sum()
        assert total["FOUND"] == total["RIGHT"] == (counted & quasar & combined["QUASAR"]).sum()
        by_source = binned[binned["SOURCE"] != ALL].sum(numeric_only=True)
        for name in ("QUASARS", "FOUND", "CALLED", "RIGHT"):
            assert by_source[name] == total[name]
        share = binned["COMPLETENESS"].dropna()
        assert (share >= binned["COMPLETENESS_LOW"].dropna()).all()
        assert binned.loc[binned["QUASARS"] == 0, "COMPLETENESS"].isna().all()


def test_redshift_bins_by_hand():
    label = [Label.QSO_LZ, Label.QSO_LZ, Label.QSO_HZ, Label.STAR, Label.BAD]
    table = pd.DataFrame({"SOURCE": "desi", "LABEL": label, "Z": [0.6, 0.9, 2.3, 0.0, 2.3]})
    combined = pd.DataFrame(
        {
            "MEMBERS": [1, 2, 3, 1, 1],
            "QUASAR": [True, False, True, True, True],
            "Z": [0.7, 0.9, 2.3, 0.8, 2.2],
        }
    )
    bins = by_redshift(table, combined).set_index("Z_LOW")
    assert bins["Z_HIGH"].tolist() == [0.5, 1, 1.5, 2, 2.5]
    assert bins["QUASARS"].tolist() == [0, 2, 0, 0, 1]
    assert bins["COMPLETENESS"].tolist()[1::3] == [0.5, 1]
    # The star counts at the redshift that the ensemble predicts.
    assert bins["CALLED"].tolist() == [0, 2, 0, 0, 1] and bins["PURITY"][0.5] == 0.5
    assert bins["Z_BIAS"][0.5] == pytest.approx(0.1 / 1.6) and bins["Z_OUTLIERS"][0.5] == 1
    assert np.isnan(bins["Z_NMAD"][1.0])


def test_confusion_by_hand():
    label = [Label.STAR, Label.BAD, Label.QSO_LZ, Label.QSO_LZ, Label.STAR]
    table = pd.DataFrame({"SOURCE": ["boss"] * 2 + ["desi"] * 3, "LABEL": label})
    combined = pd.DataFrame({"CLASS": ["NOT", "QSO_HZ", "QSO_LZ", "QSO_HZ", ""]})
    counts = confusion(table, combined).set_index(["SOURCE", "LABEL"])
    assert counts.loc[ALL].loc["QSO_LZ"].tolist() == [0, 1, 1]
    assert counts.loc["boss"].to_numpy().tolist() == [[1, 0, 0], *[[0, 0, 0]] * 3, [0, 0, 1]]
    assert counts.loc["desi"].loc["STAR"].tolist() == [0, 0, 0]  # no prediction
