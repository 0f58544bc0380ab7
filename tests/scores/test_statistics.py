"""Sums over a dataset are those that pandas computes from the whole table."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from qnal.ensemble.information import entropy
from qnal.ensemble.votes import CLASSES
from qnal.errors import InputError
from qnal.scores import statistics as module
from qnal.scores.bmus import bmu_table
from qnal.scores.dataset import ScoresFolder
from qnal.scores.file_index import IndexEntry, VoteCounts
from qnal.scores.pool_figures import by_night, by_petal
from qnal.scores.pool_report import pool_metrics, pool_tables, uncertainty_by_class
from qnal.scores.statistics import BIN, KEYS, MEASURES, SUMS, UNIT, Statistics, statistics
from qnal.spectra.file_version import FileVersion
from qnal.spectra.spectra_file import SpectraFile


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
        **{f"SNR_{arm}": np.ones(rows, np.float32) for arm in "BRZ"},
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
    table = table.astype(dict.fromkeys(numbers, "Float32"))
    table.loc[~ok, numbers] = pd.NA
    return table


SIZES = ((0, 1), (1, 500), (500, 1700), (1700, 3000))


def write(folder, table, bounds=SIZES):
    """Write a table as parts, with BMUs; returns the names of the files."""
    names = []
    for low, high in bounds:
        part = table[low:high].assign(FILE=f"{low}.fits", ROW=np.arange(high - low, dtype="i4"))
        part = pa.Table.from_pandas(part, preserve_index=False)
        file = SpectraFile(f"{low}.fits", folder.path)
        folder.write(file, part, FileVersion(1, 1, "a", "b"), VoteCounts(), {})
        ok = np.asarray(part["STATUS"]) == "ok"
        bmu, outlier = np.arange(low, high)[ok] % 7, np.arange(low, high)[ok] % 11.0
        folder.write_bmus(file, "som", bmu_table(part, bmu, outlier, outlier))
        names.append(file.name)
    return names


@pytest.fixture(scope="module")
def pool():
    return scores(3000)


@pytest.fixture(scope="module")
def folder(pool, tmp_path_factory):
    folder = ScoresFolder(tmp_path_factory.mktemp("a [folder]'s"))
    write(folder, pool)
    return folder


ENTRIES = {f"{low}.fits": IndexEntry(FileVersion(1, 1, "a", "b")) for low, _ in SIZES}


def entries_of(names):
    return {name: IndexEntry(FileVersion(1, 1, "a", "b")) for name in names}


@pytest.fixture(scope="module")
def summary(folder):
    return statistics(folder, ENTRIES, "som")


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
            assert -1e-9 <= exact - numbers[f"{measure}_90"] <= BIN + 1e-9


def test_tables_by_night_and_petal(pool, summary):
    tables = pool_tables(summary)
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


def test_cells_of_the_som(pool, summary):
    ok = pool["STATUS"] == "ok"
    cell = np.arange(3000)[ok] % 7
    cells = summary.cells.set_index("cell")
    assert cells.index.tolist() == list(range(7))
    np.testing.assert_array_equal(cells["spectra"], np.bincount(cell))
    np.testing.assert_array_equal(cells["quasars"], np.bincount(cell, pool["C_NOT"][ok] < 0.5))
    far = np.arange(3000)[ok] % 11 > 5
    np.testing.assert_array_equal(cells["outliers"], np.bincount(cell, far))
    entropies = np.bincount(cell, pool["VOTE_ENTROPY"][ok])
    np.testing.assert_allclose(cells["vote_entropy"] * UNIT, entropies, rtol=1e-6)


FRAMES = ("groups", "histograms", "cells")


def same(ours, theirs):
    for name in FRAMES:
        frames = [getattr(s, name).reset_index(drop=True) for s in (ours, theirs)]
        pd.testing.assert_frame_equal(*frames, check_exact=True, check_dtype=False)


@pytest.fixture
def read(monkeypatch):
    """Names of the files whose parts were read."""
    computed, names = module._computed, []

    def noted(folder, some, som):
        names.extend(some)
        return computed(folder, some, som)

    monkeypatch.setattr(module, "_computed", noted)
    return names


def test_parts_are_read_once(folder, summary, read):
    same(statistics(folder, ENTRIES, "som"), summary)
    assert read == []
    statistics(folder, ENTRIES, None)
    assert read == sorted(ENTRIES)


def test_new_parts_are_added(pool, tmp_path, summary, read):
    folder = ScoresFolder(tmp_path)
    first = entries_of(write(folder, pool, SIZES[:2]))
    statistics(folder, first, "som")
    assert sorted(write(folder, pool, SIZES[2:])) == sorted(ENTRIES.keys() - first.keys())
    read.clear()
    same(statistics(folder, ENTRIES, "som", first), summary)
    assert read == sorted(ENTRIES.keys() - first.keys())


@pytest.mark.parametrize("change", ["removed", "changed", "unknown", "damaged"])
def test_everything_is_read_again_where_sums_cannot_be_added(pool, tmp_path, read, change):
    folder = ScoresFolder(tmp_path)
    write(folder, pool)
    statistics(folder, ENTRIES, "som")
    read.clear()
    now, before = dict(ENTRIES), ENTRIES
    if change == "removed":
        del now["0.fits"]
    elif change == "changed":
        now["0.fits"] = IndexEntry(FileVersion(1, 2, "other spectra", "b"))
    elif change == "unknown":
        del now["0.fits"]
        before = None
    else:
        (folder.path / "_statistics" / "cells.parquet").write_bytes(b"PAR1")
    statistics(folder, now, "som", before)
    assert read == sorted(now)


def test_the_order_of_parts_changes_no_sum(pool, tmp_path):
    one, two = ScoresFolder(tmp_path / "one"), ScoresFolder(tmp_path / "two")
    bounds = [(k, k + 100) for k in range(0, 3000, 100)]
    found = [
        statistics(folder, entries_of(write(folder, pool, order)), None)
        for folder, order in ((one, bounds), (two, bounds[::-1]))
    ]
    same(*found)


def test_a_damaged_part(pool, tmp_path):
    folder = ScoresFolder(tmp_path)
    (name,) = write(folder, pool, [(0, 100)])
    folder.part(SpectraFile(name, tmp_path)).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="delete what is damaged and run stage=infer"):
        statistics(folder, entries_of([name]), None)


def test_nothing_scored(tmp_path):
    empty = statistics(ScoresFolder(tmp_path), {}, "som")
    assert pool_metrics(empty)["spectra"] == 0
    assert {n["spectra"] for n in uncertainty_by_class(empty).values()} == {0}
    assert by_night(empty) is None and by_petal(empty) is None
    assert all(len(table) == 0 for table in pool_tables(empty).values())
    table = scores(20)
    table["STATUS"] = "no_signal"
    table.loc[:, [*(f"C_{c}" for c in CLASSES), *MEASURES]] = pd.NA
    folder = ScoresFolder(tmp_path / "unusable")
    unusable = statistics(folder, entries_of(write(folder, table, [(0, 20)])), None)
    assert pool_metrics(unusable)["no_signal"] == 20
    assert "quasar_share" not in pool_metrics(unusable)
    assert by_night(unusable) is not None and by_petal(unusable) is not None


def test_figures_show_the_bad_petal():
    rows = [
        dict.fromkeys(SUMS, 0) | {"spectra": 500, "ok": 500}
        | {"TILEID": 80000 + tile, "NIGHT": 20210100 + tile % 28, "PETAL_LOC": petal}
        | {"quasars": 300 if (tile, petal) == (7, 4) else 100 + (3 * petal + tile) % 7}
        for tile in range(60)
        for petal in range(10)
    ]  # fmt: skip
    groups = pd.DataFrame(rows).astype(dict.fromkeys(KEYS, "Int64"))
    summary = Statistics(groups, pd.DataFrame(), pd.DataFrame())
    figure = by_petal(summary)
    first = figure.axes[1]  # the heat map below the first bars
    values = first.images[0].get_array()
    assert values.shape == (40, 10)  # the most deviating tiles
    row, petal = np.unravel_index(np.argmax(values), values.shape)
    assert petal == 4 and values[row, petal] > 6
    assert np.abs(np.delete(values, row, axis=0)).max() < 4
    nights = by_night(summary)
    assert len(nights.axes[0].lines[0].get_xdata()) == 28
