"""Summaries of parts add up to what the whole table gives at once."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from qnal.ensemble.votes import entropy
from qnal.scores.pool_figures import by_night, by_petal
from qnal.scores.pool_summary import BINS, CLASSES, MEASURES, SUMS, TOP, PoolSummary
from qnal.scores.pool_tables import pool_metrics, tables_of_pool, uncertainty_by_class


def scores(rows, seed=0):
    """Scores of ten members on tiles, nights and petals, some of them unknown."""
    rng = np.random.default_rng(seed)
    shares = rng.multinomial(10, [0.4, 0.3, 0.3], rows) / 10
    unsure = rng.random((3, rows))
    ok = rng.random(rows) < 0.9
    columns = {
        "TILEID": pd.array(rng.integers(0, 3, rows), "Int32"),
        "NIGHT": pd.array(20210100 + rng.integers(0, 4, rows), "Int32"),
        "PETAL_LOC": pd.array(rng.integers(0, 10, rows), "Int16"),
        "CAMERAS": np.where(rng.random(rows) < 0.1, 3, 7).astype(np.int8),
        "STATUS": np.where(ok, "ok", rng.choice(["no_signal", "non_finite"], rows)),
        **{f"C_{c}": shares[:, k] for k, c in enumerate(CLASSES)},
        "VOTE_ENTROPY": entropy(shares),
        "ENTROPY": unsure[0] * math.log(3),
        "MUTUAL_INFO": unsure[1] * unsure[0],
    }
    table = pd.DataFrame(columns)
    table.loc[rng.random(rows) < 0.05, "NIGHT"] = pd.NA
    numbers = [name for name in table if name[:2] == "C_" or name in MEASURES]
    table.loc[~ok, numbers] = np.nan
    return table


def arrow(table):
    return pa.Table.from_pandas(table, preserve_index=False)


@pytest.fixture(scope="module")
def pool():
    return scores(3000)


@pytest.fixture(scope="module")
def summary(pool):
    """Of parts of many sizes, each through JSON as in a record."""
    total = PoolSummary()
    for low, high in ((0, 1), (1, 500), (500, 1700), (1700, 3000)):
        part = PoolSummary.of(arrow(pool[low:high]))
        total.add(PoolSummary.parse(json.loads(json.dumps(part.to_dict()))))
    return total


def test_metrics_are_those_of_the_whole_table(pool, summary):
    metrics = pool_metrics(summary)
    ok = pool[pool["STATUS"] == "ok"]
    assert metrics["spectra"] == 3000 and metrics["scored"] == len(ok)
    for status in ("no_signal", "non_finite", "zero_variance"):
        assert metrics[status] == (pool["STATUS"] == status).sum()
    assert metrics["disagreement"] == pytest.approx((ok["VOTE_ENTROPY"] > 0).mean())
    assert metrics["vote_entropy_mean"] == pytest.approx(ok["VOTE_ENTROPY"].mean())
    assert metrics["mutual_info_mean"] == pytest.approx(ok["MUTUAL_INFO"].mean())
    assert metrics["quasar_share"] == pytest.approx((ok["C_NOT"] < 0.5).mean())


def test_uncertainty_by_class(pool, summary):
    ok = pool[pool["STATUS"] == "ok"]
    winner = ok[[f"C_{c}" for c in CLASSES]].to_numpy().argmax(axis=1)
    for k, (name, numbers) in enumerate(uncertainty_by_class(summary).items()):
        mine = ok[winner == k]
        assert name == CLASSES[k] and numbers["spectra"] == len(mine) > 20
        for measure in MEASURES:
            assert numbers[f"{measure}_mean"] == pytest.approx(mine[measure].mean())
            exact = np.percentile(mine[measure], 90, method="inverted_cdf")
            assert abs(numbers[f"{measure}_90"] - exact) <= TOP / BINS + 1e-9


def test_tables_by_night_and_petal(pool, summary):
    tables = tables_of_pool(summary)
    for name, keys in (
        ("per_night.csv", ["TILEID", "NIGHT"]),
        ("per_petal.csv", ["TILEID", "PETAL_LOC"]),
    ):
        table = tables[name].set_index(keys)
        assert table["spectra"].sum() == 3000
        grouped = pool.groupby(keys, dropna=False)
        assert len(table) == len(grouped)
        for key, rows in grouped:
            mine = table.loc[[key]] if not pd.isna(key[1]) else table[table.index.isin([key])]
            if len(mine) != 1:  # pandas cannot look up NA in an index
                continue
            ok = rows[rows["STATUS"] == "ok"]
            row = mine.iloc[0]
            assert row["spectra"] == len(rows) and row["ok"] == len(ok)
            assert row["dead_camera"] == (rows["CAMERAS"] != 7).sum()
            assert row["quasar_share"] == pytest.approx((ok["C_NOT"] < 0.5).mean())
            assert row["entropy_mean"] == pytest.approx(ok["ENTROPY"].mean())
            assert row["unusable_share"] == pytest.approx(1 - len(ok) / len(rows))


def test_nothing_scored():
    empty = PoolSummary()
    assert pool_metrics(empty)["spectra"] == 0
    assert {n["spectra"] for n in uncertainty_by_class(empty).values()} == {0}
    assert by_night(empty) is None and by_petal(empty) is None
    assert all(len(table) == 0 for table in tables_of_pool(empty).values())
    table = scores(20)
    table["STATUS"] = "no_signal"
    table.loc[:, ["C_NOT", "C_QSO_LZ", "C_QSO_HZ", *MEASURES]] = np.nan
    unusable = PoolSummary.of(arrow(table))
    assert pool_metrics(unusable)["no_signal"] == 20
    assert "quasar_share" not in pool_metrics(unusable)
    assert by_night(unusable) is not None and by_petal(unusable) is not None


def test_sums_of_another_version_are_refused():
    content = PoolSummary.of(arrow(scores(5))).to_dict()
    content["groups"][0].append(1)
    with pytest.raises(ValueError, match="another version"):
        PoolSummary.parse(content)


def test_figures_show_the_bad_petal():
    summary = PoolSummary()
    place = SUMS.index("quasars")
    for tile in range(60):
        for petal in range(10):
            sums = np.zeros(len(SUMS))
            sums[[SUMS.index("spectra"), SUMS.index("ok")]] = 500
            sums[place] = 300 if (tile, petal) == (7, 4) else 100 + (3 * petal + tile) % 7
            summary.groups[(80000 + tile, 20210100 + tile % 28, petal)] = sums
    figure = by_petal(summary)
    first = figure.axes[1]  # the map below the first bars
    values = first.images[0].get_array()
    assert values.shape == (40, 10)  # the oddest tiles
    row, petal = np.unravel_index(np.argmax(values), values.shape)
    assert petal == 4 and values[row, petal] > 6
    assert np.abs(np.delete(values, row, axis=0)).max() < 4
    nights = by_night(summary)
    assert len(nights.axes[0].lines[0].get_xdata()) == 28
