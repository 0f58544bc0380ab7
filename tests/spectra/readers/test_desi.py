"""DESI coadds: target table, masks, dead cameras, and refused files."""

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest

from qnal.errors import InputError
from qnal.spectra.grid import named_grid
from qnal.spectra.readers.desi import find_coadds, read_coadd
from qnal.spectra.readers.reader import Spectra
from qnal.spectra.rebin import BLOCK
from qnal.spectra.spectra_file import SpectraFile
from qnal.spectra.target_table import target_columns

LOG = named_grid("log")
FIRST = 39633559463397282
Parts = Callable[..., Any]


def column(coadd: Spectra, name: str) -> list:
    return coadd.table[name].to_pylist()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "tiles/perexp/80605/00068635/coadd-3-80605-exp00068635.fits",
            {"TILEID": 80605, "EXPID": 68635, "PETAL_LOC": 3},
        ),
        (
            "tiles/perexp/80605/00068635/coadd-3-80605-00068635.fits",
            {"TILEID": 80605, "EXPID": 68635, "PETAL_LOC": 3},
        ),
        (
            "tiles/pernight/80605/20210205/coadd-0-80605-20210205.fits.gz",
            {"TILEID": 80605, "NIGHT": 20210205, "PETAL_LOC": 0},
        ),
        (
            "tiles/cumulative/80605/20210205/coadd-9-80605-thru20210205.fits",
            {"TILEID": 80605, "NIGHT": 20210205, "PETAL_LOC": 9},
        ),
        (
            "healpix/sv3/dark/91/9144/coadd-sv3-dark-9144.fits",
            {"SURVEY": "sv3", "PROGRAM": "dark", "HPXPIXEL": 9144},
        ),
        ("plain/coadd-of-mine.fits", {}),
    ],
)
def test_each_tree_tells_by_its_paths(
    tmp_path: Path, coadd_parts: Parts, path: str, expected: dict
) -> None:
    coadd_parts(rows=2).write(tmp_path / "spectra.fits")
    there = tmp_path / path
    there.parent.mkdir(parents=True)
    content = (tmp_path / "spectra.fits").read_bytes()
    there.write_bytes(gzip.compress(content, 1) if path.endswith(".gz") else content)
    (tmp_path / "spectra.fits").unlink()
    (file,) = find_coadds(str(tmp_path / path.split("/")[0]), "data.pool")
    assert file.name == path.split("/", 1)[1]
    coadd = read_coadd(file, LOG)
    assert column(coadd, "TARGETID") == [FIRST, FIRST + 1]
    assert column(coadd, "FILE") == [file.name] * 2
    assert column(coadd, "ROW") == [0, 1]
    for name in ("TILEID", "EXPID", "NIGHT", "PETAL_LOC", "SURVEY", "PROGRAM", "HPXPIXEL"):
        assert column(coadd, name) == [expected.get(name)] * 2, name
    for name in ("FIBER", "TARGET_RA", "OBJTYPE", "DESI_TARGET", "FLUX_R", "COADD_FIBERSTATUS"):
        assert column(coadd, name) == [None, None], name
    assert coadd.table.schema.equals(target_columns("BRZ"))


def test_real_trees_are_named_as_they_are(real_data: Path) -> None:
    by_name = {f.name: f for f in find_coadds(str(real_data / "desi"), "data.pool")}
    assert sorted(by_name) == [
        "healpix/sv3/dark/91/9144/coadd-sv3-dark-9144.fits",
        "tiles/cumulative/80693/20210204/coadd-1-80693-thru20210204.fits",
        "tiles/cumulative/80693/20210204/coadd-2-80693-thru20210204.fits",
    ]
    healpix, petal1, _ = (read_coadd(by_name[name], LOG) for name in sorted(by_name))
    assert set(column(healpix, "HPXPIXEL")) == {9144}
    assert set(column(healpix, "SURVEY")) == {"sv3"}
    assert column(healpix, "TILEID") == [None, None]
    assert set(column(petal1, "TILEID")) == {80693}
    assert set(column(petal1, "NIGHT")) == {20210204}
    assert set(column(petal1, "PETAL_LOC")) == {1}
    assert column(petal1, "EXPID") == [None] * 5
    assert set(column(petal1, "CAMERAS")) == {7}
    raw = fitsio.read(str(petal1_path := by_name[sorted(by_name)[1]].path), "FIBERMAP")
    assert column(petal1, "TARGETID") == raw["TARGETID"].tolist()
    assert column(petal1, "TARGET_RA") == raw["TARGET_RA"].tolist()
    with fitsio.FITS(str(petal1_path)) as fits:
        flux, ivar = fits["R_FLUX"].read(), fits["R_IVAR"].read()
    expected = np.median(flux * np.sqrt(ivar), axis=1)
    assert column(petal1, "SNR_R") == pytest.approx(expected.tolist())


def test_fibermap_wins_over_exposures_over_headers_over_path(
    tmp_path: Path, coadd_parts: Parts
) -> None:
    parts = coadd_parts(rows=3, TILEID=[11, 12, 13])
    ids = [FIRST, FIRST + 1, FIRST + 1, FIRST + 2]
    exposures = np.zeros(
        4, [("TARGETID", "i8"), ("EXPID", "i4"), ("NIGHT", "i4"), ("TILEID", "i4"), ("FIBER", "i4")]
    )
    exposures["TARGETID"], exposures["EXPID"] = ids, [5, 6, 7, 8]
    exposures["NIGHT"], exposures["TILEID"] = [20210101, 20210102, 20210103, 20210104], 99
    exposures["FIBER"] = [100, 101, 101, 102]
    parts.hdus["EXP_FIBERMAP"] = exposures
    parts.header |= {"NIGHT": 20210204, "EXPID": 1, "PETAL": 4, "SURVEY": "main"}
    coadd = read_coadd(parts.write(tmp_path / "coadd-9-80693-thru20210205.fits"), LOG)
    assert column(coadd, "TILEID") == [11, 12, 13]
    assert column(coadd, "FIBER") == [100, 101, 102]
    assert column(coadd, "EXPID") == [5, None, 8]  # the header's cannot be right for two exposures
    assert column(coadd, "NIGHT") == [20210101, 20210204, 20210104]
    assert column(coadd, "PETAL_LOC") == [4] * 3
    assert column(coadd, "SURVEY") == ["main"] * 3
    assert column(coadd, "PROGRAM") == [None] * 3


def test_columns_are_copied_and_empty_ones_are_null(tmp_path: Path, coadd_parts: Parts) -> None:
    parts = coadd_parts(
        OBJTYPE=np.array([b"TGT", b"SKY", b""]),
        FLUX_R=np.array([1.5, np.nan, 2.5], np.float32),
        DESI_TARGET=np.zeros(3, np.int64),
        SV1_DESI_TARGET=np.array([1 << 62, 4, 0], np.int64),
        FIBER=np.array([4999, 0, 7], np.int32),
    )
    coadd = read_coadd(parts.write(tmp_path / "coadd-a.fits"), LOG)
    assert column(coadd, "OBJTYPE") == ["TGT", "SKY", None]
    assert column(coadd, "FLUX_R") == [1.5, None, 2.5]
    assert column(coadd, "DESI_TARGET") == [1 << 62, 4, 0]
    assert column(coadd, "FIBER") == [4999, 0, 7]


def test_masked_pixels_are_ignored_unless_asked_for(tmp_path: Path, coadd_parts: Parts) -> None:
    clean = coadd_parts()
    before = read_coadd(clean.write(tmp_path / "coadd-clean.fits"), LOG)
    parts = coadd_parts()
    parts.hdus["R_FLUX"][1, 40] = 1e6
    parts.hdus["R_MASK"][1, 40] = 8
    file = parts.write(tmp_path / "coadd-masked.fits")
    ours, reference = read_coadd(file, LOG), read_coadd(file, LOG, use_mask=False)
    assert np.array_equal(ours.x[[0, 2]], before.x[[0, 2]])
    assert np.abs(ours.x[1] - before.x[1]).max() < 1
    assert np.abs(reference.x[1] - before.x[1]).max() > 5
    clean.hdus["R_IVAR"][1, 40] = 0
    assert np.array_equal(read_coadd(clean.write(tmp_path / "coadd-0.fits"), LOG).x, ours.x)


def test_dead_cameras_and_sky_are_flags(tmp_path: Path, coadd_parts: Parts) -> None:
    parts = coadd_parts(rows=4, OBJTYPE=np.array([b"TGT", b"SKY", b"TGT", b"TGT"]))
    parts.hdus["R_IVAR"][0] = 0
    for camera in "BRZ":
        parts.hdus[f"{camera}_IVAR"][2] = 0
    parts.hdus["Z_MASK"][3] = 1
    coadd = read_coadd(parts.write(tmp_path / "coadd-a.fits"), LOG)
    assert column(coadd, "CAMERAS") == [1 + 4, 7, 0, 3]
    assert column(coadd, "STATUS") == ["ok", "ok", "no_signal", "ok"]
    assert column(coadd, "SNR_R")[0] is None
    assert column(coadd, "SNR_B")[2] is None
    assert column(coadd, "SNR_Z")[3] is None


def test_rows_without_an_answer_keep_their_place(tmp_path: Path, coadd_parts: Parts) -> None:
    parts = coadd_parts(rows=70)
    parts.hdus["B_FLUX"][3, 5] = np.nan
    parts.hdus["Z_FLUX"][4, 5], parts.hdus["Z_IVAR"][4, 5] = np.inf, 0
    parts.hdus["Z_IVAR"][66, 7] = np.inf
    for camera in "BRZ":
        parts.hdus[f"{camera}_FLUX"][69] = 2.5
    coadd = read_coadd(parts.write(tmp_path / "coadd-a.fits"), LOG)
    status = dict(enumerate(column(coadd, "STATUS")))
    assert {k: v for k, v in status.items() if v != "ok"} == {
        3: "non_finite",
        66: "non_finite",
        69: "zero_variance",
    }
    assert np.isfinite(coadd.x).all()
    assert not coadd.x[[3, 66, 69]].any()


def test_zipped_and_plain_files_are_one(tmp_path: Path, coadd_parts: Parts) -> None:
    file = coadd_parts(rows=40).write(tmp_path / "coadd-a.fits")
    zipped = tmp_path / "coadd-a.fits.gz"
    zipped.write_bytes(gzip.compress(file.path.read_bytes(), 1))
    plain, other = read_coadd(file, LOG), read_coadd(SpectraFile("z", zipped), LOG)
    assert plain.digest == other.digest
    assert np.array_equal(plain.x, other.x)
    # Side by side in a tree, they are one file, not two.
    assert [f.name for f in find_coadds(str(tmp_path), "data.pool")] == ["coadd-a.fits"]


@pytest.mark.parametrize("zipped", [False, True])
def test_chunks_do_not_change_the_result(
    tmp_path: Path, coadd_parts: Parts, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    file = coadd_parts(rows=75).write(tmp_path / "coadd-a.fits")
    if zipped:
        (tmp_path / "a.fits.gz").write_bytes(gzip.compress(file.path.read_bytes(), 1))
        file = SpectraFile("a", tmp_path / "a.fits.gz")
    whole = read_coadd(file, LOG)
    monkeypatch.setattr("qnal.spectra.readers.reader.CHUNK", 2 * BLOCK)
    chunks = read_coadd(file, LOG)
    assert chunks.digest == whole.digest
    assert np.array_equal(chunks.x, whole.x)
    assert chunks.table.equals(whole.table)


def test_digest_follows_the_content(tmp_path: Path, coadd_parts: Parts) -> None:
    parts = coadd_parts()
    first = read_coadd(parts.write(tmp_path / "coadd-a.fits"), LOG).digest
    shutil.copy(tmp_path / "coadd-a.fits", tmp_path / "coadd-b.fits")
    again = read_coadd(SpectraFile("b", tmp_path / "coadd-b.fits"), LOG).digest
    assert again == first
    parts.hdus["B_FLUX"][0, 0] += 1
    assert read_coadd(parts.write(tmp_path / "coadd-a.fits"), LOG).digest != first


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.int32])
def test_other_number_types_are_read_as_numbers(
    tmp_path: Path, coadd_parts: Parts, dtype: type
) -> None:
    parts = coadd_parts()
    for camera in "BRZ":
        parts.hdus[f"{camera}_FLUX"] = (100 * parts.hdus[f"{camera}_FLUX"]).astype(dtype)
        parts.hdus[f"{camera}_IVAR"] = np.ceil(parts.hdus[f"{camera}_IVAR"]).astype(dtype)
        parts.hdus[f"{camera}_MASK"] = parts.hdus[f"{camera}_MASK"].astype(np.uint32)
    ours = read_coadd(parts.write(tmp_path / "coadd-a.fits"), LOG)
    for camera in "BRZ":
        for what in ("FLUX", "IVAR"):
            parts.hdus[f"{camera}_{what}"] = parts.hdus[f"{camera}_{what}"].astype(np.float32)
    expected = read_coadd(parts.write(tmp_path / "coadd-b.fits"), LOG)
    assert ours.x == pytest.approx(expected.x, abs=1e-5)


def _set(name: str, value: Any) -> Callable[[Any], None]:
    return lambda parts: parts.hdus.__setitem__(name, value)


def _change(name: str, by: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], None]:
    return lambda parts: parts.hdus.__setitem__(name, by(parts.hdus[name]))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_set("FIBERMAP", None), "no FIBERMAP"),
        (_set("R_FLUX", None), "no R_FLUX"),
        (_set("Z_WAVELENGTH", None), "no Z_WAVELENGTH"),
        (_set("Z_MASK", None), "no HDU Z_MASK"),
        (_change("FIBERMAP", lambda t: t[:2]), r"shape \(3, 276\), not \(2, 276\)"),
        (_change("FIBERMAP", lambda t: t[:0]), "no rows"),
        (_change("B_FLUX", lambda a: a.T.copy()), r"B_FLUX has shape \(276, 3\)"),
        (_change("B_IVAR", lambda a: a[:, :-1].copy()), "B_IVAR has shape"),
        (_change("R_MASK", lambda a: a[0]), "R_MASK has shape"),
        (_change("B_WAVELENGTH", lambda a: a[::-1].copy()), "increasing wavelengths"),
        (_change("B_WAVELENGTH", lambda a: a - 5000), "increasing wavelengths"),
        (_change("B_WAVELENGTH", lambda a: np.where(a > 4000, np.nan, a)), "increasing"),
        (_change("FIBERMAP", lambda t: t.astype([("TARGETID", "f8")])), "64-bit integer"),
        (_change("FIBERMAP", lambda t: t.astype([("TARGETID", "S20")])), "64-bit integer"),
        (
            _set("FIBERMAP", np.array([((1, 2),)] * 3, [("TARGETID", "i8", 2)])),
            "64-bit integer",
        ),
        (_set("FIBERMAP", np.zeros(3, [("FIBER", "i4")])), "no TARGETID"),
        (_set("FIBERMAP", np.zeros((3, 4), np.float32)), "no FIBERMAP table"),
        (_set("B_FLUX", np.zeros(3, [("A", "i4")])), "B_FLUX is a table"),
        (
            _set("FIBERMAP", np.array([(1, b"abc")] * 3, [("TARGETID", "i8"), ("TILEID", "S3")])),
            "TILEID does not hold",
        ),
        (
            _set("FIBERMAP", np.full(3, 2**40, [("TARGETID", "i8"), ("FIBER", "i8")])),
            "FIBER does not hold",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    tmp_path: Path, coadd_parts: Parts, spoil: Callable[[Any], None], says: str
) -> None:
    parts = coadd_parts()
    spoil(parts)
    file = parts.write(tmp_path / "coadd-spoilt.fits")
    with pytest.raises(InputError, match=rf"coadd-spoilt\.fits: .*{says}"):
        read_coadd(file, LOG)


def test_one_row_is_enough(tmp_path: Path, coadd_parts: Parts) -> None:
    coadd = read_coadd(coadd_parts(rows=1).write(tmp_path / "coadd-a.fits"), LOG)
    assert coadd.x.shape == (1, 443)
    assert column(coadd, "STATUS") == ["ok"]
