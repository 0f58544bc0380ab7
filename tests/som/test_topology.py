import numpy as np
import pytest

from qnal.som.topology import neighbourhood, separations, smooth, u_matrix


@pytest.mark.parametrize("name", ["torus", "plane"])
def test_separations_are_somviz(golden, name):
    peer = np.load(golden / "somviz.npz")
    signature = peer[f"{name}/shape"]
    shape, wrap = tuple(np.abs(signature)), tuple(signature < 0)
    np.testing.assert_array_equal(separations(shape, wrap), peer[f"{name}/separations"])


def test_separations_wrap_axis_by_axis():
    rows = separations((4, 5), (True, False))
    assert rows[0, 3 * 5] == 1  # the last row is next to the first
    assert rows[0, 4] == 4  # the last column is not
    assert rows[0, 2 * 5 + 3] == pytest.approx(np.sqrt(13))
    np.testing.assert_array_equal(rows, rows.T)


@pytest.mark.parametrize("wrap", [(True, True), (False, True)])
def test_neighbourhood_is_a_gaussian_of_the_separation(wrap):
    values = np.random.default_rng(1).normal(size=(20, 3))
    gaussian = np.exp(-0.5 * (separations((4, 5), wrap) / 1.3) ** 2)
    spread = smooth(values, *neighbourhood((4, 5), wrap, 1.3))
    np.testing.assert_allclose(spread, gaussian @ values)


def test_u_matrix_by_hand():
    weights = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_allclose(u_matrix(weights, (1, 4), (False, False)), [[1, 1.5, 3, 4]])
    np.testing.assert_allclose(u_matrix(weights, (1, 4), (False, True)), [[4, 1.5, 3, 5.5]])


def test_u_matrix_of_a_torus_does_not_depend_on_where_it_is_cut():
    cube = np.random.default_rng(0).normal(size=(4, 5, 3))
    moved = np.roll(cube, (1, 2), (0, 1))
    np.testing.assert_allclose(
        np.roll(u_matrix(cube.reshape(20, 3), (4, 5)), (1, 2), (0, 1)),
        u_matrix(moved.reshape(20, 3), (4, 5)),
    )
