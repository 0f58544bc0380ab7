"""BOSS training files, their truth, and SDSS files of one spectrum each."""

from collections.abc import Callable
from pathlib import Path

import fitsio
import numpy as np
import pytest

from qnal.ensemble.read_labelled import read_boss
from qnal.errors import InputError
from qnal.labels.boss_truth import read_boss_truth
from qnal.labels.label import Label
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.boss import read_boss_spectra
from qnal.spectra.readers.sdss import read_sdss
from qnal.spectra.rebin import Rebinner, renormalise_rebinned

LOG = named_grid("log")


def fits_file(path: Path) -> Path:
    return path if path.exists() else path.with_name(path.name + ".gz")


@pytest.fixture(scope="module")
def training(peer_data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, ivar and table of the training file."""
    with fitsio.FITS(str(fits_file(peer_data / "boss" / "dr12_train.fits"))) as fits:
        return fits[0].read(), fits[1].read(), fits[2].read()


def write(path: Path, *hdus: np.ndarray | None, names: tuple[str, ...] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with fitsio.FITS(str(path), "rw", clobber=True) as out:
        for k, hdu in enumerate(hdus):
            out.write(hdu, extname=names[k] if k < len(names) and names[k] else None)
    return path


def test_the_older_layout_gives_the_same_spectra(
    tmp_path: Path, training: tuple, peer_data: Path
) -> None:
    flux, ivar, table = training
    wave = 10 ** (3.555 + 1e-4 * np.arange(flux.shape[1]))
    rebinner = Rebinner(len(flux), LOG)
    rebinner.add(flux.astype(float), ivar.astype(float), wave)
    mean = np.divide(
        rebinner.weighted, rebinner.ivar, out=np.zeros_like(rebinner.ivar), where=rebinner.ivar > 0
    )
    path = write(tmp_path / "old.fits", np.hstack([mean, rebinner.ivar]), table)
    x, rebinned, status, targetid, snr = read_boss_spectra(path, LOG)
    assert np.array_equal(rebinned[:, 1], rebinner.ivar.astype(np.float32))
    assert np.abs(renormalise_rebinned(rebinned) - x).max() < 1e-4 * np.abs(x).max()
    golden = np.load(peer_data / "golden" / "quasarnp_boss.npz")["X"]
    assert np.abs(x - golden).max() <= 1e-12 * np.abs(golden).max()
    assert np.array_equal(targetid, table["TARGETID"])
    assert set(status) == {"ok"}
    assert snr.shape == (len(x),) and np.isfinite(snr).all()
    # Log bins do not fill the bins of another grid: some would be empty.
    with pytest.raises(InputError, match=r"old\.fits: .* use the log grid"):
        read_boss_spectra(path, named_grid("linear"))


def test_labels_are_quasarnps(mock_data: Path) -> None:
    """Those of `quasarnp.io.read_data`, by THING_ID."""
    folder = mock_data / "boss"
    truth = [folder / "truth_dr12q.fits.gz"]
    ours = read_boss([folder / "dr12_train.fits.gz"], truth, LOG, high_z=2.1)
    golden = np.load(mock_data / "golden" / "quasarnp_boss.npz")
    order = np.argsort(golden["labels/targetid"])
    for ours_name, theirs in (("TARGETID", "targetid"), ("LABEL", "label"), ("BAL", "bal")):
        assert np.array_equal(ours.column(ours_name), golden[f"labels/{theirs}"][order])
    quasar = np.isin(ours.column("LABEL"), [Label.QSO_LZ, Label.QSO_HZ])
    assert np.array_equal(ours.column("Z")[quasar], golden["labels/z"][order][quasar])


def test_real_truth_has_the_stated_classes(real_data: Path) -> None:
    truth = read_boss_truth([real_data / "boss" / "truth_dr12q.fits"], 2.1)
    raw = fitsio.read(str(real_data / "boss" / "truth_dr12q.fits"), ext=1)
    quasar = np.isin(raw["CLASS_PERSON"], [3, 30]) & (raw["Z_CONF_PERSON"] == 3)
    label = truth.table["LABEL"]
    assert int((label == Label.QSO_HZ).sum()) == int((quasar & (raw["Z_VI"] >= 2.1)).sum())
    assert int(label.isin([Label.QSO_LZ, Label.QSO_HZ]).sum()) == int(quasar.sum()) == 118
    known = ~np.isnan(raw["BI_CIV"])
    assert int((truth.table["BAL"] != 0).sum()) == int(known.sum()) == 67
    assert int((truth.table["BAL"] == 1).sum()) == int((raw["BI_CIV"] > 0).sum())


KINDS = {"THING_ID": "i8", "PLATE": "i4", "MJD": "i4", "FIBERID": "i4", "Z_VI": "f8"} | {
    **{"CLASS_PERSON": "i4", "Z_CONF_PERSON": "i4", "BAL_FLAG_VI": "i2", "BI_CIV": "f8"},
    **{"TARGETID": "i8", "SPID0": "i4", "SPID1": "i4", "SPID2": "i4", "Z": "f8"},
    **{"OBJCLASS": "i4", "Z_CONF": "i4"},
}
OLD = ("THING_ID", "PLATE", "MJD", "FIBERID", "Z_VI", "CLASS_PERSON", "Z_CONF_PERSON")
NEW = ("TARGETID", "SPID0", "SPID1", "SPID2", "Z", "OBJCLASS", "Z_CONF")


def truth_file(path: Path, names: tuple[str, ...], *rows: tuple) -> Path:
    columns = (*names, "BAL_FLAG_VI", "BI_CIV")
    table = np.array(list(rows), [(name, KINDS[name]) for name in columns])
    return write(path, None, table)


@pytest.mark.parametrize(
    ("names", "galaxy", "sure"), [(OLD, 4, 3), (NEW, 2, 2)], ids=["thing_id", "targetid"]
)
def test_both_dialects(tmp_path: Path, names: tuple[str, ...], galaxy: int, sure: int) -> None:
    path = truth_file(
        tmp_path / "truth.fits",
        names,
        (1, 9, 9, 1, 0.0, 1, sure, 0, 0.0),
        (2, 9, 9, 2, 0.5, galaxy, sure, 0, 0.0),
        (3, 9, 9, 3, 1.5, 3, sure, 1, 500.0),  # BAL
        (4, 9, 9, 4, 2.1, 3, sure, 0, 0.0),  # none
        (5, 9, 9, 5, 2.5, 3, sure, 1, 0.0),  # flag and index disagree
        (6, 9, 9, 6, 2.5, 3, sure, 0, 3.0),
        (7, 9, 9, 7, 2.5, 3, sure, 0, np.nan),
        (8, 9, 9, 8, 2.5, 3, 1, 0, 0.0),  # not sure
        (9, 9, 9, 9, 2.5, 0, 0, 0, 0.0),  # not inspected
        (10, 9, 9, 10, 2.5, 77, sure, 0, 0.0),  # no known class
        (-1, 9, 9, 11, 2.5, 3, sure, 0, 0.0),
        (12, 9, 9, 12, 2.5, 3, sure, 0, 0.0),
        (12, 9, 9, 12, 2.6, 3, sure, 0, 0.0),  # conflict
        (13, 9, 9, 13, 2.5, 0, 1, 0, 0.0),
        (14, 9, 9, 14, 2.5, 3, sure, 0, 0.0),
        (14, 9, 9, 15, 2.5, 3, sure, 0, np.nan),  # again, BAL unknown
    )
    truth = read_boss_truth([path], 2.1)
    labels = {int(t): Label(n).name for t, n in truth.table["LABEL"].items()}
    assert labels == {
        **{1: "STAR", 2: "GALAXY", 3: "QSO_LZ", 4: "QSO_HZ", 5: "QSO_HZ", 6: "QSO_HZ"},
        **{7: "QSO_HZ", 8: "BAD", 13: "BAD", 14: "QSO_HZ"},
    }
    bal = truth.table["BAL"]
    assert [int(bal[t]) for t in (3, 4, 5, 6, 7, 14)] == [1, -1, 0, 0, 0, 0]
    counts = truth.counts
    assert counts == {
        "truth_rows": 16,
        "truth_without_id": 1,
        "truth_uninspected": 1,
        "truth_unknown_class": 1,
        "truth_conflicts": 1,
        "truth_conflict_rows": 2,
        "truth_merged_rows": 1,
        "truth_targets": 10,
    }
    assert truth.spectra[(9, 9, 15)] == 14


def test_dialects_may_be_mixed(tmp_path: Path) -> None:
    one = truth_file(tmp_path / "a.fits", OLD, (1, 9, 9, 1, 0.0, 1, 3, 0, 0.0))
    two = truth_file(tmp_path / "b.fits", NEW, (2, 9, 9, 2, 2.5, 3, 2, 0, 0.0))
    assert read_boss_truth([one, two], 2.1).table["LABEL"].tolist() == [Label.STAR, Label.QSO_HZ]


@pytest.mark.parametrize("content", [None, np.zeros(2, [("THING_ID", "i8")]), np.zeros((2, 2))])
def test_what_is_no_truth_is_refused(tmp_path: Path, content: np.ndarray | None) -> None:
    path = write(tmp_path / "truth.fits", None, *([] if content is None else [content]))
    with pytest.raises(InputError, match=r"truth\.fits: "):
        read_boss_truth([path], 2.1)


@pytest.mark.parametrize("case", ["one hdu", "no table", "rows", "columns", "float id"])
def test_what_is_no_training_file_is_refused(tmp_path: Path, training: tuple, case: str) -> None:
    flux, ivar, table = (part[:4] for part in training)
    hdus: dict[str, tuple] = {
        "one hdu": (flux,),
        "no table": (flux, ivar),
        "rows": (flux, ivar, table[:3]),
        "columns": (flux, table),
        "float id": (flux, ivar, np.zeros(4, [("TARGETID", "f8")])),
    }
    path = write(tmp_path / "train.fits", *hdus[case])
    with pytest.raises(InputError, match=r"train\.fits: "):
        read_boss_spectra(path, LOG)


Spec = Callable[..., Path]


@pytest.fixture
def spec(tmp_path: Path, training: tuple) -> Spec:
    """Write a row of the training file as SDSS publishes it."""
    flux, ivar, table = training

    def make(row: int, thing_id: int | None = None, header: bool = True) -> Path:
        n = flux.shape[1]
        coadd = np.zeros(n, [("flux", "f4"), ("loglam", "f4"), ("ivar", "f4"), ("and_mask", "i4")])
        coadd["flux"], coadd["ivar"] = flux[row], ivar[row]
        coadd["loglam"] = 3.555 + 1e-4 * np.arange(n)
        plate, mjd, fiber = (int(table[c][row]) for c in ("PLATE", "MJD", "FIBERID"))
        path = tmp_path / "spectra" / f"spec-{plate:04d}-{mjd}-{fiber:04d}.fits"
        hdus: list[np.ndarray | None] = [None, coadd]
        if thing_id is not None:
            hdus.append(np.array([(thing_id,)], [("THING_ID", "i4")]))
        write(path, *hdus, names=("", "COADD", "SPALL"))
        if header:
            with fitsio.FITS(str(path), "rw") as fits:
                fits[0].write_keys({"PLATEID": plate, "MJD": mjd, "FIBERID": fiber})
        return path

    return make


def test_an_sdss_file_gives_the_spectrum_of_the_training_file(
    spec: Spec, training: tuple, peer_data: Path
) -> None:
    golden = np.load(peer_data / "golden" / "quasarnp_boss.npz")["X"]
    for row in (0, 5, len(golden) - 1):
        spectrum = read_sdss(spec(row, thing_id=77), LOG)
        assert np.abs(spectrum.x - golden[row]).max() <= 1e-12 * np.abs(golden).max()
        assert spectrum.thing_id == 77
        # Pixels without weight count as 0.
        values = training[0][row] * np.sqrt(training[1][row].astype(float))
        assert spectrum.snr == pytest.approx(np.median(values), rel=1e-6)
        table = training[2]
        assert spectrum.plate_mjd_fiber == tuple(
            int(table[c][row]) for c in ("PLATE", "MJD", "FIBERID")
        )


def test_sdss_files_find_their_labels(spec: Spec, training: tuple, peer_data: Path) -> None:
    table = training[2]
    paths = [
        spec(0, thing_id=int(table["TARGETID"][0])),
        spec(1),  # by plate, MJD and fibre of the header
        spec(2, header=False),  # of the name
        spec(3, thing_id=-1),
    ]
    truth = [fits_file(peer_data / "boss" / "truth_dr12q.fits")]
    single = read_boss(paths, truth, LOG, high_z=2.1)
    training_file = fits_file(peer_data / "boss" / "dr12_train.fits")
    whole = read_boss([training_file], truth, LOG, high_z=2.1)
    assert set(single.column("TARGETID")) == set(table["TARGETID"][:4])
    for k, targetid in enumerate(single.column("TARGETID")):
        (row,) = np.flatnonzero(whole.column("TARGETID") == targetid)
        assert single.x[k] == pytest.approx(whole.x[row], abs=1e-6)
        for name in ("LABEL", "Z", "BAL"):
            assert single.column(name)[k] == whole.column(name)[row]
    folder = read_boss([paths[0].parent], truth, LOG, high_z=2.1)
    assert np.array_equal(folder.x, single.x)


def test_an_sdss_file_without_its_columns_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "spec-1-2-3.fits", None, np.zeros(4, [("flux", "f4")]))
    with pytest.raises(InputError, match=r"spec-1-2-3\.fits: HDU1 has no ivar, loglam"):
        read_sdss(path, LOG)
