import json

import numpy as np
import pytest

from qnal.errors import InputError
from qnal.som.som import SelfOrganizingMap


@pytest.fixture
def som():
    weights = np.random.default_rng(0).normal(size=(6, 10)).astype(np.float32)
    return SelfOrganizingMap(weights, (2, 3), (True, False), np.array([3.0, 2.0]), 7, "log")


def somviz_folder(folder, cells):
    # SOMVIZ saves the transpose of [npix, cells], which numpy writes in Fortran order.
    np.save(folder / "weights.npy", np.random.default_rng(0).normal(size=(10, cells)).T)
    np.save(folder / "loss.npy", np.arange(4.0))
    return folder


def test_round_trip(som, tmp_path):
    som.save(tmp_path / "som")
    loaded = SelfOrganizingMap.load(tmp_path / "som")
    np.testing.assert_array_equal(loaded.weights, som.weights)
    np.testing.assert_array_equal(loaded.loss, som.loss)
    assert loaded.weights.dtype == np.float32
    assert (loaded.shape, loaded.wrap, loaded.seed, loaded.grid) == (
        (2, 3),
        (True, False),
        7,
        "log",
    )
    assert loaded.fingerprint == som.fingerprint
    assert sorted(p.name for p in (tmp_path / "som").iterdir()) == [
        "loss.npy",
        "som.json",
        "weights.npy",
    ]


def test_statistics_are_stored(som, tmp_path):
    x = np.random.default_rng(1).normal(size=(50, 10))
    known = som.with_statistics(x)
    known.save(tmp_path)
    loaded = SelfOrganizingMap.load(tmp_path)
    assert loaded.statistics.fingerprint == known.statistics.fingerprint
    assert loaded.statistics.topographic_error == som.topographic_error(x)
    assert loaded.fingerprint == som.fingerprint  # the BMUs do not depend on the statistics
    np.testing.assert_array_equal(
        loaded.outlier_score(*loaded.find_bmu(x)), known.outlier_score(*som.find_bmu(x))
    )
    som.save(tmp_path)
    assert SelfOrganizingMap.load(tmp_path).statistics is None
    assert not (tmp_path / "cell_statistics.npz").exists()


def test_statistics_of_another_som_are_refused(som, tmp_path):
    random = np.random.default_rng(1)
    for name in ("one", "other"):
        som.with_statistics(random.normal(size=(50, 10))).save(tmp_path / name)
    (tmp_path / "one" / "cell_statistics.npz").replace(tmp_path / "other" / "cell_statistics.npz")
    with pytest.raises(InputError, match=r"cell_statistics\.npz: does not match the fingerprint"):
        SelfOrganizingMap.load(tmp_path / "other")
    with pytest.raises(InputError, match=r"cell_statistics\.npz: holds no cell statistics"):
        SelfOrganizingMap.load(tmp_path / "one")
    (tmp_path / "one" / "cell_statistics.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"cell_statistics\.npz: holds no cell statistics"):
        SelfOrganizingMap.load(tmp_path / "one")


def test_fingerprint_depends_on_weights_shape_and_wrap(som):
    twisted = SelfOrganizingMap(som.weights, (3, 2), som.wrap)
    torus = SelfOrganizingMap(som.weights, som.shape, (True, True))
    assert len({som.fingerprint, twisted.fingerprint, torus.fingerprint}) == 3
    assert SelfOrganizingMap(som.weights, som.shape, som.wrap).fingerprint == som.fingerprint


def test_somviz_square_torus(tmp_path):
    loaded = SelfOrganizingMap.load(somviz_folder(tmp_path, 9))
    assert (loaded.shape, loaded.wrap, loaded.grid) == ((3, 3), (True, True), None)
    assert loaded.weights.flags.c_contiguous and loaded.loss.tolist() == [0, 1, 2, 3]


def test_somviz_of_another_shape(tmp_path):
    folder = somviz_folder(tmp_path, 10)
    with pytest.raises(InputError, match=r"weights\.npy: 10 cells are not a square"):
        SelfOrganizingMap.load(folder)
    assert SelfOrganizingMap.load(folder, (2, 5), (False, True)).shape == (2, 5)
    with pytest.raises(InputError, match=r"weights\.npy: 10 cells do not have the shape 3x3"):
        SelfOrganizingMap.load(folder, (3, 3))


def test_broken_files_are_named(som, tmp_path):
    with pytest.raises(InputError, match=r"weights\.npy: there is no such file"):
        SelfOrganizingMap.load(tmp_path)
    (tmp_path / "weights.npy").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"weights\.npy: is not an array"):
        SelfOrganizingMap.load(tmp_path)
    np.save(tmp_path / "weights.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match=r"weights\.npy: is not an array"):
        SelfOrganizingMap.load(tmp_path)
    np.save(tmp_path / "weights.npy", np.zeros(4))
    with pytest.raises(InputError, match="2-dimensional"):
        SelfOrganizingMap.load(tmp_path)


def test_som_json_must_fit(som, tmp_path):
    som.save(tmp_path)
    with pytest.raises(InputError, match=r"som\.json: shape is \(2, 3\), not \(3, 2\)"):
        SelfOrganizingMap.load(tmp_path, (3, 2))
    np.save(tmp_path / "weights.npy", som.weights + 1)
    with pytest.raises(InputError, match=r"weights\.npy: does not match the fingerprint"):
        SelfOrganizingMap.load(tmp_path)
    som.save(tmp_path)
    about = json.loads((tmp_path / "som.json").read_text())
    (tmp_path / "som.json").write_text(json.dumps(about | {"format_version": 2}))
    with pytest.raises(InputError, match=r"som\.json: format version 2"):
        SelfOrganizingMap.load(tmp_path)
    (tmp_path / "som.json").write_text("{}")
    with pytest.raises(InputError, match=r"som\.json: is not the description of a SOM"):
        SelfOrganizingMap.load(tmp_path)
