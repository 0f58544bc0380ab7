import numpy as np
import pytest

from qnal.som.cell_statistics import MAD_TO_SIGMA, CellStatistics
from qnal.som.som import SelfOrganizingMap


@pytest.fixture(scope="module")
def distances():
    """Three cells: many far spectra, many near ones, two; a fourth has none."""
    random = np.random.default_rng(0)
    bmu = np.repeat([0, 1, 2], [400, 400, 2]).astype(np.int32)
    distance = np.exp(random.normal(np.repeat([3.0, 1.0, 2.0], [400, 400, 2]), 0.2))
    return bmu, distance.astype(np.float32)


@pytest.fixture(scope="module")
def statistics(distances):
    return CellStatistics.of(*distances, cells=4, topographic_error=0.1)


def test_centre_and_spread_by_hand():
    bmu = np.array([0, 0, 0, 1, -1], np.int32)
    log = np.array([1.0, 2.0, 4.0, 6.0, np.nan])
    statistics = CellStatistics.of(bmu, np.expm1(log), cells=3, topographic_error=0.0)
    assert statistics.count.tolist() == [3, 1, 0]
    # The median of all four, 3, has weight 1; the medians of cells 0 and 1 are 2 and 6.
    np.testing.assert_allclose(statistics.centre, [(3 * 2 + 3) / 4, (6 + 3) / 2, 3])
    # The deviations are 1.25, 0.25, 1.75 and 1.5; their median has weight 10.
    spread = [(3 * 1.25 + 10 * 1.375) / 13, (1.5 + 10 * 1.375) / 11, 1.375]
    np.testing.assert_allclose(statistics.spread, MAD_TO_SIGMA * np.array(spread))
    assert statistics.quantization_error == pytest.approx(np.expm1(log[:4]).mean())


def test_scores_of_common_spectra_are_standard(statistics, distances):
    score = statistics.outlier_score(*distances)
    assert score.dtype == np.float32
    for cell in (0, 1):
        of_cell = score[distances[0] == cell]
        assert abs(np.median(of_cell)) < 0.4
        assert 0.6 < of_cell.std() < 1.2


def test_score_grows_with_distance(statistics):
    for cell in range(4):
        bmu = np.full(50, cell, np.int32)
        score = statistics.outlier_score(bmu, np.linspace(0, 100, 50, dtype=np.float32))
        assert (np.diff(score) > 0).all()


def test_scores_are_relative_to_the_cell(statistics):
    far, near = statistics.outlier_score(np.array([0, 1], np.int32), np.full(2, 20, np.float32))
    assert abs(far) < 1 < 5 < near


def test_cells_with_few_spectra_use_the_whole_sample(statistics):
    few, none = statistics.outlier_score(np.array([2, 3], np.int32), np.full(2, 8, np.float32))
    assert few == pytest.approx(none, abs=0.3)


def test_unknown_scores(statistics):
    bmu, distance = np.array([-1], np.int32), np.array([np.nan], np.float32)
    assert np.isnan(statistics.outlier_score(bmu, distance)).all()
    alike = CellStatistics.of(np.zeros(5, np.int32), np.ones(5, np.float32), 2, 0.0)
    scores = alike.outlier_score(np.zeros(2, np.int32), np.array([1, 9], np.float32))
    assert np.isnan(scores).all()
    weights = np.zeros((4, 3), np.float32)
    bare = SelfOrganizingMap(weights, (2, 2)).outlier_score(np.zeros(2, np.int32), np.ones(2))
    assert np.isnan(bare).all() and bare.dtype == np.float32
