import numpy as np
import pytest

from qnal.errors import ConfigError, InputError
from qnal.som.som import SelfOrganizingMap


@pytest.fixture(scope="module")
def spectra(golden):
    return np.load(golden / "quasarnp_boss.npz")["X"]


@pytest.fixture(params=["torus", "plane"])
def peer(request, golden):
    """A SOM of SOMVIZ and its BMUs."""
    file = np.load(golden / "somviz.npz")
    signature = file[f"{request.param}/shape"]
    shape, wrap = tuple(map(int, np.abs(signature))), tuple(map(bool, signature < 0))
    return SelfOrganizingMap(file[f"{request.param}/weights"], shape, wrap), file[
        f"{request.param}/bmu"
    ]


def direct(x, weights):
    difference = x[:, None].astype(np.float64) - weights.astype(np.float64)
    return np.einsum("ijk,ijk->ij", difference, difference)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_bmus_are_those_of_somviz(peer, spectra, precision):
    som, bmu = peer
    found, distance = som.find_bmu(spectra.astype(precision))
    np.testing.assert_array_equal(found, bmu)
    assert (found.dtype, distance.dtype) == (np.int32, np.float32)
    np.testing.assert_allclose(
        distance, np.sqrt(direct(spectra, som.weights).min(axis=1)), rtol=1e-6
    )


def test_first_cell_on_ties():
    weights = np.random.default_rng(1).normal(size=(12, 30)).astype(np.float32)
    weights[[3, 7, 11]] = weights[5]
    bmu, distance = SelfOrganizingMap(weights, (3, 4)).find_bmu(weights)
    assert bmu.tolist() == [0, 1, 2, 3, 4, 3, 6, 3, 8, 9, 10, 3]
    assert not distance.any()


def test_near_ties_beyond_float32_are_resolved():
    random = np.random.default_rng(2)
    centre = 1e3 * random.normal(size=50)  # |x|² is 5e7, where float32 has steps of 4
    weights = centre + 1e-4 * random.normal(size=(20, 50))
    x = centre + 1e-4 * random.normal(size=(300, 50))
    bmu, _ = SelfOrganizingMap(weights, (4, 5)).find_bmu(x)
    np.testing.assert_array_equal(bmu, direct(x, weights).argmin(axis=1))
    assert len(np.unique(bmu)) > 10


def test_chunks_do_not_matter(peer, spectra, monkeypatch):
    som, bmu = peer
    monkeypatch.setattr("qnal.som.bmu.CHUNK_BYTES", 1000)
    np.testing.assert_array_equal(som.find_bmu(spectra)[0], bmu)


def test_unusable_spectra_keep_their_place(peer, spectra):
    som, bmu = peer
    holed = spectra.copy()
    holed[4, 17], holed[9, 0] = np.nan, np.inf
    found, distance = som.find_bmu(holed)
    assert found[[4, 9]].tolist() == [-1, -1] and np.isnan(distance[[4, 9]]).all()
    np.testing.assert_array_equal(np.delete(found, [4, 9]), np.delete(bmu, [4, 9]))


def test_no_spectra_and_very_large_values(peer, spectra):
    som, bmu = peer
    assert som.find_bmu(spectra[:0])[0].shape == (0,)
    vast = SelfOrganizingMap(som.weights * 1e25, som.shape)  # squares are beyond float32
    np.testing.assert_array_equal(vast.find_bmu(spectra * 1e25)[0], bmu)


@pytest.mark.parametrize("peer_data", ["real"], indirect=True)  # the mock spectra are too few
def test_fit_is_no_worse_than_somviz(peer, spectra):
    som, _ = peer
    maps = [SelfOrganizingMap.fit(spectra, som.shape, seed=s, wrap=som.wrap) for s in range(5)]
    assert maps[0].weights.dtype == np.float32
    assert maps[0].loss.shape == (100,) and maps[0].loss[-1] < 0.9 * maps[0].loss[1]
    quantization = [ours.quantization_error(spectra) for ours in maps]
    topographic = [ours.topographic_error(spectra) for ours in maps]
    assert np.mean(quantization) < som.quantization_error(spectra)
    assert np.mean(topographic) < som.topographic_error(spectra)


def test_fit_follows_from_its_seed(spectra):
    seen = []
    one, again, other = (
        SelfOrganizingMap.fit(
            spectra, (4, 5), seed=seed, epochs=4, progress=lambda *pass_: seen.append(pass_)
        )
        for seed in (1, 1, 2)
    )
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert seen[:4] == list(enumerate(one.loss))


def test_fit_orders_a_ring():
    """A closed curve is represented by a ring of cells in the order of the curve."""
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    som = SelfOrganizingMap.fit(circle, (1, 24), seed=3)
    assert som.topographic_error(circle) == 0
    assert som.quantization_error(circle) < 0.1  # 2π/24/4 = 0.065 at best


def test_topographic_error_by_hand():
    weights = np.array([[0.0], [9.0], [1.0], [10.0]])
    plane = SelfOrganizingMap(weights, (1, 4), (False, False))
    x = np.array([[0.1], [9.6], [6.0]])  # two closest cells: 0, 2 / 3, 1 / 1, 3
    assert plane.topographic_error(x) == 1.0
    assert plane.topographic_error(np.array([[5.1]])) == 0.0  # cells 1 and 2


def test_topographic_error_of_known_prototypes():
    """Prototypes at the positions of the cells of a 4 × 4 plane, and spectra between them."""
    row, column = np.divmod(np.arange(16.0), 4)
    weights = np.stack([row, column], axis=1)
    plane = SelfOrganizingMap(weights, (4, 4), (False, False))
    between = np.array([[0.4, 0.0], [1.4, 1.4], [2.9, 3.0], [2.2, 1.0]])
    assert plane.topographic_error(between) == 0.0
    # Two cells are exchanged: a spectrum near one of them has its second closest cell far away.
    moved = weights.copy()
    moved[[0, 15]] = weights[[15, 0]]
    torn = SelfOrganizingMap(moved, (4, 4), (False, False))
    assert torn.topographic_error(np.array([[0.1, 0.4], [1.6, 1.6], [3.0, 2.9], [1.2, 2.0]])) == 0.5
    # On a torus the corners are adjacent.
    assert SelfOrganizingMap(moved, (4, 4)).topographic_error(np.array([[0.1, 0.4]])) == 1.0
    ends = np.array([[0.0], [5.0], [9.0], [1.0]])
    assert (
        SelfOrganizingMap(ends, (1, 4), (False, False)).topographic_error(np.array([[0.4]])) == 1.0
    )
    assert SelfOrganizingMap(ends, (1, 4)).topographic_error(np.array([[0.4]])) == 0.0


def test_a_torus_has_no_edges(peer, spectra):
    """A SOM rolled along both axes has the same topology: only the indices of the cells change."""
    som = SelfOrganizingMap(peer[0].weights, peer[0].shape)
    cube = som.weights.reshape(*som.shape, -1)
    rolled = SelfOrganizingMap(np.roll(cube, (2, 3), (0, 1)).reshape(som.weights.shape), som.shape)
    (bmu, distance), (moved, same) = som.find_bmu(spectra), rolled.find_bmu(spectra)
    row, column = np.divmod(bmu, som.shape[1])
    expected = (row + 2) % som.shape[0] * som.shape[1] + (column + 3) % som.shape[1]
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(same, distance)
    assert rolled.topographic_error(spectra) == som.topographic_error(spectra)


def test_bmus_of_shuffled_spectra(peer, spectra):
    som, bmu = peer
    order = np.random.default_rng(4).permutation(len(spectra))
    np.testing.assert_array_equal(som.find_bmu(spectra[order])[0], bmu[order])


def test_statistics_of_the_fit(peer, spectra):
    som = peer[0].with_statistics(spectra)
    assert som.statistics.quantization_error == pytest.approx(som.quantization_error(spectra))
    assert som.statistics.topographic_error == som.topographic_error(spectra)
    np.testing.assert_array_equal(som.statistics.count, np.bincount(peer[1], minlength=som.cells))
    strange = np.concatenate([spectra, 5 * spectra[::-1][:3] + 40])
    score = som.outlier_score(*som.find_bmu(strange))
    assert set(np.argsort(score)[-3:]) == {len(spectra) + k for k in range(3)}


def test_fit_refuses(spectra):
    holed = spectra.copy()
    holed[3, 3] = np.nan
    with pytest.raises(InputError, match=f"1 of {len(spectra)} spectra"):
        SelfOrganizingMap.fit(holed, (3, 3), seed=1)
    with pytest.raises(InputError, match="a SOM is fitted to spectra"):
        SelfOrganizingMap.fit(spectra[:0], (3, 3), seed=1)
    with pytest.raises(ConfigError, match=r"som\.shape 0x3"):
        SelfOrganizingMap.fit(spectra, (0, 3), seed=1)


def test_other_grid_is_refused(peer):
    with pytest.raises(InputError, match="443 pixels"):
        peer[0].find_bmu(np.zeros((2, 458)))
