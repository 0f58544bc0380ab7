"""Figures of the picks beside the pool, and the distributions that they show."""

import numpy as np
import pyarrow as pa
import pytest

from qnal.query.gallery import without_empty_pixels
from qnal.query.options import QueryOptions
from qnal.query.pick_figures import pick_figures
from qnal.query.pool_distribution import REDSHIFTS, SIGNAL_TO_NOISE, binned
from qnal.query.select import select

ROWS = 400


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(20, [0.5, 0.3, 0.2], ROWS) / 20
    columns = {"TARGETID": np.arange(ROWS), "Z": rng.uniform(0, 7, ROWS)}
    columns |= dict(zip(("C_NOT", "C_QSO_LZ", "C_QSO_HZ"), votes.T, strict=True))
    columns |= {"SNR_R": rng.normal(1, 1, ROWS), "BMU": rng.integers(0, 6, ROWS)}
    return pa.table(columns)


@pytest.fixture(scope="module")
def selection(table):
    options = QueryOptions(n=30, control=5, som_percentile=None, distributions=True)
    return select(table, options, cells=6)


def test_distributions_count_every_spectrum(selection, table):
    pool = selection.pool
    frame = table.to_pandas()
    np.testing.assert_array_equal(pool.redshifts, binned(frame.Z.to_numpy(), REDSHIFTS))
    expected = binned(np.maximum(frame.SNR_R.to_numpy(), 1e-9), SIGNAL_TO_NOISE)
    np.testing.assert_array_equal(pool.signal_to_noise, expected)
    np.testing.assert_array_equal(pool.cells, np.bincount(frame.BMU, minlength=6))
    assert pool.votes[:, 2].sum() == ROWS
    shares = np.unique(frame[["C_QSO_LZ", "C_QSO_HZ"]].to_numpy().round(9), axis=0)
    np.testing.assert_allclose(pool.votes[:, :2], shares, atol=1e-9)


def test_figures_show_pool_and_picks(selection):
    figures = pick_figures(selection, selection.pool, (2, 3))
    assert set(figures) == {"picks_pool.png", "picks_votes.png", "picks_som.png"}
    redshifts = figures["picks_pool.png"].axes[0]
    for patch in redshifts.patches:
        assert patch.get_data().values.sum() == pytest.approx(1)
    triangle = figures["picks_votes.png"].axes[0]
    assert [len(c.get_offsets()) for c in triangle.collections] == [
        len(selection.pool.votes), 30, 5
    ]  # fmt: skip
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figures["picks_pool.png"].axes)
    assert "35 selected in" in figures["picks_som.png"].axes[0].get_title("left")


def test_no_columns_no_figures(table):
    options = QueryOptions(n=3, som_percentile=None, distributions=True)
    few = select(table.drop(["Z", "SNR_R", "BMU"]), options)
    assert set(pick_figures(few, few.pool, None)) == {"picks_votes.png"}


def test_empty_pixels_are_left_out():
    x = np.array([0.5, -1.25, 0.25, -1.25, -1.25, 2.0])
    np.testing.assert_array_equal(without_empty_pixels(x), [0.5, np.nan, 0.25, np.nan, np.nan, 2.0])
