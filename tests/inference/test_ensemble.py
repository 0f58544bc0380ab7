"""Scoring from Python."""

import itertools
import subprocess
import sys
from pathlib import Path

import fitsio
import numpy as np
import pyarrow as pa
import pytest

import qnal
from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.votes import Thresholds, score_schema
from qnal.errors import ConfigError, InputError
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.weights import write_network
from qnal.spectra.target_table import target_columns

SCORES = score_schema(QUASARNET_LINES, QUASARNET_BAL_LINES).names
CAMERAS = "BRZ"


def first_coadd(folder):
    return min((folder / "desi" / "tiles").rglob("coadd-*.fits*"))


@pytest.fixture(scope="module")
def ensemble(mock_data):
    return qnal.load_ensemble(mock_data / "quasarnet")


@pytest.fixture(scope="module")
def coadd(mock_data):
    return first_coadd(mock_data)


@pytest.fixture(scope="module")
def arrays(coadd):
    """flux, ivar, wave and mask by camera."""
    with fitsio.FITS(str(coadd)) as fits:
        return [
            {c.lower(): fits[f"{c}_{what}"].read() for c in CAMERAS}
            for what in ("FLUX", "IVAR", "WAVELENGTH", "MASK")
        ]


@pytest.fixture(scope="module")
def scored(ensemble, coadd):
    return ensemble.score(coadd)


@pytest.mark.process
def test_importing_qnal_is_light():
    script = (
        "import sys, qnal; heavy = {'tensorflow', 'numpy', 'mlflow', 'hydra', 'pyarrow'};"
        "print(sorted(heavy & set(sys.modules)), qnal.load_ensemble.__name__,"
        "sorted({'tensorflow', 'mlflow', 'hydra'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == "[] load_ensemble []", done.stderr
    with pytest.raises(AttributeError, match="no attribute 'load_ensembles'"):
        qnal.load_ensembles  # noqa: B018


def test_a_coadd_gives_the_scores_table(ensemble, scored, coadd):
    assert isinstance(scored, pa.Table)
    assert scored.column_names == [*target_columns("BRZ").names, *SCORES]
    with fitsio.FITS(str(coadd)) as fits:
        assert scored["TARGETID"].to_pylist() == fits["FIBERMAP"]["TARGETID"].read().tolist()
    assert set(scored["STATUS"].to_pylist()) == {"ok"}
    assert ensemble.score(str(coadd)).equals(scored)
    frame = ensemble.score(coadd, pandas=True)
    assert frame["TARGETID"].dtype == np.int64 and list(frame.columns) == scored.column_names


def test_predictions_agree_with_quasarnp(peer_data):
    """With QuasarNP's view of the file (no masks), against its own predictions."""
    peer = np.load(peer_data / "golden" / "quasarnp_desi.npz")
    coadd = first_coadd(peer_data)
    stem = coadd.name.split(".")[0]
    table = qnal.load_ensemble(peer_data / "quasarnet").score(coadd, use_mask=False)
    c, z = (
        np.stack([peer[f"{stem}/{net}/{what}"] for net in ("net4", "net6")])
        for what in ("c_line", "z_line")
    )
    bal = np.stack([peer[f"{stem}/{net}/c_bal"][0] for net in ("net4", "net6")])
    for i, line in enumerate(("LYA", "CIV", "CIII", "MgII", "Hbeta", "Halpha")):
        # Lines are kept in 16 bits (docs/scores.md).
        np.testing.assert_allclose(table[f"C_{line}"], c[:, i].mean(axis=0), rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            1 + np.asarray(table[f"Z_{line}"]), 1 + z[:, i].mean(axis=0), rtol=1e-5
        )
    np.testing.assert_allclose(table["C_BAL"], bal.mean(axis=0), rtol=0, atol=1e-5)
    best = c.max(axis=1)
    np.testing.assert_allclose(table["C_NOT"], (best <= 0.95).mean(axis=0), rtol=0, atol=1e-7)
    np.testing.assert_allclose(table["P_NOT"], 1 - best.mean(axis=0), rtol=0, atol=1e-5)


def rows_of_page(heading):
    """The rows of the table of docs/quasarnp.md whose heading holds some text."""
    lines = (Path(__file__).parents[2] / "docs" / "quasarnp.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|") and heading in line)
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_page_on_quasarnp_is_true(real_data):
    coadd = first_coadd(real_data)
    peer = np.load(real_data / "golden" / "quasarnp_desi.npz")
    folder = real_data / "quasarnet"
    rows = rows_of_page("`c_bal[0]`")
    numbers = np.array([row[1:] for row in rows], float)
    table = qnal.load_ensemble(folder / "test_weights.h5").score(coadd)
    assert [int(row[0]) for row in rows] == table["TARGETID"].to_pylist()
    names = (("c_line", "C_LYA"), ("z_best", "Z"), ("c_bal", "C_BAL"))
    for column, (theirs, ours) in zip((0, 2, 4), names, strict=True):
        predicted = np.atleast_2d(peer[f"{coadd.stem}/net4/{theirs}"])[0]
        np.testing.assert_allclose(numbers[:, column], predicted, rtol=0, atol=6e-7)
        np.testing.assert_allclose(numbers[:, column + 1], table[ours], rtol=0, atol=8e-6)
    table = qnal.load_ensemble(folder / "test_weights_6_layer.h5").score(coadd)
    numbers = np.array([row[1:] for row in rows_of_page("| table |")], float)
    theirs = peer[f"{coadd.stem}/net6_quasarnp/z_best"]
    np.testing.assert_allclose(numbers[:, 1], theirs, rtol=0, atol=6e-7)
    np.testing.assert_allclose(numbers[:, 2], table["Z"], rtol=0, atol=2e-6)


def same_scores(table, expected):
    for name in SCORES:
        np.testing.assert_allclose(table[name], expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_arrays_by_camera_are_the_file(ensemble, scored, arrays):
    flux, ivar, wave, mask = arrays
    table = ensemble.score(flux, ivar, wave, mask)
    assert table.column_names == ["ROW", "STATUS", *SCORES]
    assert table["ROW"].to_pylist() == [0, 1, 2, 3, 4]
    same_scores(table, scored)
    lists = [list(by_camera.values()) for by_camera in arrays]
    same_scores(ensemble.score(*lists), scored)
    same_scores(ensemble.score(*(tuple(a) for a in lists)), scored)
    keyed = [{k: a[k] for k in "zrb"} for a in (flux, ivar, wave)]  # in any order
    same_scores(ensemble.score(*keyed), ensemble.score(flux, ivar, wave))


def test_masked_arrays_are_not_taken_for_whole_ones(ensemble, arrays):
    flux, ivar, wave, _ = (a["b"] for a in arrays)
    hidden = np.ma.array(flux, mask=np.ones_like(flux, bool))
    with pytest.raises(InputError, match="flux is a masked array"):
        ensemble.score(hidden, ivar, wave)
    same_scores(ensemble.score(np.ma.array(flux), ivar, wave), ensemble.score(flux, ivar, wave))


def test_one_arm_and_one_spectrum(ensemble, arrays):
    flux, ivar, wave, _ = (a["b"] for a in arrays)
    table = ensemble.score(flux, ivar, wave)
    assert len(table) == 5
    one = ensemble.score(flux[2], ivar[2], wave)
    assert len(one) == 1
    np.testing.assert_allclose(one["P_NOT"][0].as_py(), table["P_NOT"][2].as_py(), atol=1e-5)
    plain = ensemble.score(flux[2].tolist(), ivar[2].tolist(), wave.tolist())
    np.testing.assert_allclose(plain["P_NOT"][0].as_py(), one["P_NOT"][0].as_py(), atol=1e-5)


def test_unusable_rows_are_kept(ensemble, arrays):
    flux, ivar, wave = ({k: a[k].copy() for k in a} for a in arrays[:3])
    for camera in "brz":
        ivar[camera][1] = 0
    flux["r"][3, 100] = np.nan
    table = ensemble.score(flux, ivar, wave)
    assert table["STATUS"].to_pylist() == ["ok", "no_signal", "ok", "non_finite", "ok"]
    assert table["Z"].is_valid().to_pylist() == [True, False, True, False, True]


def wrong_shapes():
    flux, wave = np.ones((2, 5)), np.linspace(4000, 5000, 5)
    return {
        "ivar": (flux, flux[:, :4], wave, None),
        "must be a list of increasing": (flux, flux, wave[::-1], None),
        "must be a list of increasing ": (flux, flux, flux, None),
        "flux and wave must both be mappings by camera": (flux, flux, {"b": wave}, None),
        "ivar has cameras": ({"b": flux}, {"r": flux}, {"b": wave}, None),
        "flux has shape": (
            {"b": flux, "r": flux[:1]},
            *({"b": a, "r": a} for a in (flux, wave)),
            None,
        ),
        "mask has shape": (flux, flux, wave, flux[:1]),
        "flux must be an array of numbers": ([["a"] * 5] * 2, flux, wave, None),
        "wave has no camera": ({}, {}, {}, None),
    }


@pytest.mark.parametrize("sentence", list(wrong_shapes()))
def test_shapes_that_do_not_match(ensemble, sentence):
    with pytest.raises(InputError, match=sentence.strip()):
        ensemble.score(*wrong_shapes()[sentence])


def test_a_file_alone_or_arrays(ensemble, coadd):
    for given in ((coadd, np.ones(3)), (np.ones((2, 5)),)):
        with pytest.raises(InputError, match="a coadd file alone, or flux, ivar and wave"):
            ensemble.score(*given)
    with pytest.raises(InputError, match=r"nowhere\.fits"):
        ensemble.score("nowhere.fits")


def test_folders_files_and_how_many(ensemble, mock_data, tmp_path, random_network):
    folder = mock_data / "quasarnet"
    assert len(ensemble) == 2 and ensemble.lines == QUASARNET_LINES
    assert "2 networks on the log grid: LYA," in repr(ensemble)
    assert len(qnal.load_ensemble(str(folder), n=1)) == 1
    assert len(qnal.load_ensemble(folder / "test_weights_6_layer.h5").stored.networks[0].convs) == 6
    other = qnal.load_ensemble(folder, lines=("LYB", *QUASARNET_LINES[1:]), bal_lines=["LYA"])
    assert other.lines[0] == "LYB" and other.bal_lines == ("LYA",)
    with pytest.raises(InputError, match="it has 7 heads"):
        qnal.load_ensemble(folder, lines=["LYA"])


def test_a_folder_of_ours_knows_its_thresholds_and_lines(
    tmp_path, random_network, out_of_bag_table, a_record, spectra
):
    folder = EnsembleFolder(tmp_path)
    for k in range(2):
        network = random_network(k, lines=("LYA", "MgII(2796)"), bal_lines=())
        folder.add(network, out_of_bag_table, a_record(k))
    folder.write(EnsembleDescription(thresholds=Thresholds(0.3, 2, 1.0)))
    ensemble = qnal.load_ensemble(tmp_path, backend="numpy")
    assert ensemble.rule.thresholds == Thresholds(0.3, 2, 1.0)
    flux = spectra + 5
    table = ensemble.score(flux, np.ones_like(flux), ensemble.grid.wave + 0.1)
    assert table.column_names[-4:] == ["C_LYA", "Z_LYA", "C_MgII", "Z_MgII"]
    own = qnal.load_ensemble(tmp_path, thresholds=Thresholds(0.99, 1, 2.1), backend="numpy")
    assert own.rule.thresholds.line_threshold == 0.99


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n": 0}, "n=0 cannot be used"),
        ({"backend": "jax"}, "'jax' is not known; valid ones: tensorflow, numpy, quasarnp"),
        ({"precision": "half"}, "'half' is not known; valid ones: auto, float32, bfloat16"),
        (
            {"precision": "bfloat16", "backend": "numpy"},
            "precision=bfloat16 cannot be used with backend=numpy",
        ),
        (
            {"thresholds": Thresholds(min_lines=7)},
            "min_lines=7 cannot be used; these networks have 6 lines",
        ),
    ],
)
def test_arguments_that_cannot_be_used(tmp_path, random_network, arguments, sentence):
    write_network(random_network(layers=1, filters=2), tmp_path / "net.h5")
    with pytest.raises(ConfigError, match=sentence):
        qnal.load_ensemble(tmp_path, **arguments)


def test_mlflow_uri(tmp_path, monkeypatch, mock_data, ensemble):
    """An ensemble logged as artifacts of a run, found again by its address."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("door", (tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    for name in ("test_weights.h5", "test_weights_6_layer.h5"):
        client.log_artifact(run, str(mock_data / "quasarnet" / name), "ensemble")
    found = qnal.load_ensemble(f"runs:/{run}/ensemble")
    assert found.stored.checksums == ensemble.stored.checksums
    with pytest.raises(InputError, match=f"runs:/{run}/nothing: MLflow has no such artifact"):
        qnal.load_ensemble(f"runs:/{run}/nothing")
