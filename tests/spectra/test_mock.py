"""The mock survey: formats, counts, determinism, plausible spectra."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qnal.errors import ConfigError
from qnal.files import sha256
from qnal.spectra.mock import MockConfig, MockSurvey, survey_at, write_survey
from qnal.spectra.mock.absorption import balnicity
from qnal.spectra.mock.galaxies import render as render_galaxies
from qnal.spectra.mock.model_grid import PIXELS, WAVE, add_emission, add_gaussians
from qnal.spectra.mock.observation import COSMIC, camera, expose, signal_to_noise
from qnal.spectra.mock.quasars import render as render_quasars
from qnal.spectra.mock.stars import photosphere
from qnal.spectra.mock.targets import draw_targets
from qnal.spectra.mock.tiles import share_out
from qnal.threads import numpy_threads

SMALL = MockConfig(labelled=61, boss=70, pool=97, fibres=20, petals=2, dead_cameras=0.1)
PERFECT = MockConfig(cosmic_rays=0, sky_residual=0, calibration=0)
NPIX = {"B": 2751, "R": 2326, "Z": 2881}


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> MockSurvey:
    return write_survey(SMALL, tmp_path_factory.mktemp("mock"))


def coadds(tree: Path) -> list[Path]:
    return sorted(tree.rglob("coadd-*.fits"))


def fibermaps(tree: Path) -> np.ndarray:
    return np.concatenate([fitsio.read(f, "FIBERMAP") for f in coadds(tree)])


def digests(root: Path) -> dict[str, str]:
    return {str(f.relative_to(root)): sha256(f) for f in sorted(root.rglob("*")) if f.is_file()}


def test_counts_are_those_of_the_configuration(survey: MockSurvey) -> None:
    assert len(fibermaps(survey.desi_spectra)) == 61
    assert len(fibermaps(survey.pool)) == 97
    assert fitsio.FITS(survey.boss_spectra)[0].get_dims() == [70, 4600]


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7, 11, 99, 100, 101, 1234])
def test_tiles_share_out_every_row(rows: int) -> None:
    config = MockConfig(fibres=10, petals=3, exposures=4)
    tiles = list(share_out(rows, [5], config))
    files = [t.rows(p, e) for t in tiles for p in range(3) for e in range(t.exposures)]
    assert sum(files) == rows
    assert max(files) <= 10
    assert min(files) >= 0


def test_truncating_the_pool_leaves_its_full_tiles_alone(
    survey: MockSurvey, tmp_path: Path
) -> None:
    longer = write_survey(replace(SMALL, pool=300, labelled=0, boss=0), tmp_path)
    first = coadds(survey.pool)[0].relative_to(survey.root)
    assert sha256(longer.root / first) == sha256(survey.root / first)


def test_equal_configurations_give_equal_bytes(survey: MockSurvey, tmp_path: Path) -> None:
    write_survey(SMALL, tmp_path / "same")
    assert digests(tmp_path / "same") == digests(survey.root)
    write_survey(replace(SMALL, seed=7), tmp_path / "other")
    other = digests(tmp_path / "other")
    assert not set(other.values()) & set(digests(survey.root).values())


def test_layout_of_a_coadd(survey: MockSurvey) -> None:
    path = coadds(survey.pool)[0]
    petal, tile, exposure = path.stem.split("-")[1:]
    assert path.parent.name == exposure.removeprefix("exp")
    assert path.parent.parent.name == tile
    with fitsio.FITS(path) as f:
        names = [hdu.get_extname() for hdu in f][1:]
        n = f["FIBERMAP"].get_nrows()
        assert names == ["FIBERMAP", "EXP_FIBERMAP"] + [
            f"{x}_{part}" for x in "BRZ" for part in ("WAVELENGTH", "FLUX", "IVAR", "MASK")
        ]
        for x, npix in NPIX.items():
            wave = f[f"{x}_WAVELENGTH"].read()
            assert wave.dtype.kind + str(wave.dtype.itemsize) == "f8"
            assert len(wave) == npix
            np.testing.assert_allclose(np.diff(wave), 0.8, atol=1e-9)
            for part, kind in (("FLUX", "f4"), ("IVAR", "f4"), ("MASK", "i4")):
                image = f[f"{x}_{part}"].read()
                assert image.shape == (n, npix)
                assert image.dtype.kind + str(image.dtype.itemsize) == kind
                assert np.isfinite(image).all()
            assert (f[f"{x}_IVAR"].read() >= 0).all()
        table, exp = f["FIBERMAP"].read(), f["EXP_FIBERMAP"].read()
    assert {
        *("TARGETID", "TARGET_RA", "TARGET_DEC", "FLUX_G", "FLUX_R", "FLUX_Z", "PETAL_LOC"),
        *("FIBER", "COADD_FIBERSTATUS", "OBJTYPE", "TILEID", "DESI_TARGET"),
    } <= set(table.dtype.names)
    np.testing.assert_array_equal(table["TARGETID"], exp["TARGETID"])
    assert set(exp["EXPID"]) == {int(exposure.removeprefix("exp"))}
    assert set(table["TILEID"]) == {int(tile)}
    assert set(table["PETAL_LOC"]) == {int(petal)}
    assert exp["NIGHT"].min() > 20_210_000
    assert (table["FIBER"] // 500 == int(petal)).all()


def test_targetids_are_desi_s_and_sky_is_negative(survey: MockSurvey) -> None:
    table = fibermaps(survey.pool)
    assert table["TARGETID"].dtype.newbyteorder("=") == np.int64
    sky = table["OBJTYPE"].astype(str) == "SKY"  # bytes or text, by fitsio's version
    assert sky.any()
    assert (table["TARGETID"][sky] < 0).all()
    assert (table["TARGETID"][~sky] >> 42 == 9010).all()  # data release bits
    assert {len(str(t)) for t in table["TARGETID"][~sky]} == {17}
    ours = set(table["TARGETID"])
    assert not ours & set(fibermaps(survey.desi_spectra)["TARGETID"])


def test_every_spectrum_has_its_truth(survey: MockSurvey) -> None:
    desi = pd.read_csv(survey.desi_truth)
    assert list(desi.columns) == ["TARGETID", "VI_Z", "VI_QUALITY", "VI_CLASS"]
    assert desi.TARGETID.dtype == np.int64
    assert desi.TARGETID.is_unique
    assert set(desi.TARGETID) == set(fibermaps(survey.desi_spectra)["TARGETID"])
    assert set(desi.VI_CLASS) <= {"QSO", "GALAXY", "STAR"}
    assert desi.VI_QUALITY.between(0, 4).all()
    pool = pd.read_csv(survey.pool_truth)
    assert pool.TARGETID.is_unique
    assert set(pool.TARGETID) == set(fibermaps(survey.pool)["TARGETID"])
    assert (pool.Z.isna() == (pool.CLASS == "SKY")).all()


def test_targets_are_exposed_again_and_on_other_tiles(tmp_path: Path) -> None:
    config = MockConfig(labelled=0, boss=0, pool=160, fibres=20, revisited=0.2, exposures=3)
    table = fibermaps(write_survey(config, tmp_path).pool)
    _, exposures = np.unique(table["TARGETID"], return_counts=True)
    assert exposures.max() > 1
    tiles = pd.DataFrame({k: table[k].astype(np.int64) for k in ("TARGETID", "TILEID")})
    assert tiles.groupby("TARGETID").TILEID.nunique().max() == 2


def test_exposures_share_the_spectrum_and_not_the_noise(tmp_path: Path) -> None:
    config = MockConfig(
        labelled=200, boss=0, pool=0, fibres=50, snr_min=20, snr_max=20, dead_cameras=0
    )
    files = coadds(write_survey(config, tmp_path).desi_spectra)
    by_petal = [f for f in files if f.parts[-3] == files[0].parts[-3] and "coadd-0" in f.name]
    assert len(by_petal) == 2
    (a, va), (b, vb) = ((fitsio.read(f, "R_FLUX"), 1 / fitsio.read(f, "R_IVAR")) for f in by_petal)
    same = np.median(np.abs(a - b) / np.sqrt(va + vb))
    assert 0.6 < same < 1.2  # 0.67 for pure noise, more with calibration errors
    assert np.median(np.abs(a - b[::-1]) / np.sqrt(va + vb)) > 2


def test_boss_files(survey: MockSurvey) -> None:
    with fitsio.FITS(survey.boss_spectra) as f:
        flux, ivar, table = f[0].read(), f[1].read(), f[2].read()
    assert flux.shape == ivar.shape == (70, 4600)
    assert flux.dtype.itemsize == 4
    assert list(table.dtype.names) == ["TARGETID", "PLATE", "MJD", "FIBERID"]
    truth = fitsio.read(survey.boss_truth, 1)
    assert list(truth.dtype.names) == [
        *("THING_ID", "PLATE", "MJD", "FIBERID", "Z_VI", "CLASS_PERSON", "Z_CONF_PERSON"),
        *("BAL_FLAG_VI", "BI_CIV"),
    ]
    known = table[table["TARGETID"] != -1]
    np.testing.assert_array_equal(known["TARGETID"], truth["THING_ID"])
    for column in ("PLATE", "MJD", "FIBERID"):
        np.testing.assert_array_equal(known[column], truth[column])
    assert set(truth["CLASS_PERSON"]) <= {0, 1, 3, 4, 30}
    assert set(truth["Z_CONF_PERSON"]) <= {0, 1, 2, 3}


def test_some_boss_rows_are_to_be_dropped(tmp_path: Path) -> None:
    config = MockConfig(labelled=0, boss=60, pool=0, boss_dropped=0.3)
    survey = write_survey(config, tmp_path)
    dropped = fitsio.read(survey.boss_spectra, "METADATA")["TARGETID"] == -1
    assert 5 < dropped.sum() < 35
    assert len(fitsio.read(survey.boss_truth, 1)) == 60 - dropped.sum()


def test_noise_has_the_stated_variance() -> None:
    sky = np.zeros((200, PIXELS), np.float32)
    for name in ("B", "R", "Z", "BOSS"):
        frame = expose(np.random.default_rng(1), camera(name), sky, np.full(200, 1.3), PERFECT)
        chi2 = (frame.flux**2 * frame.ivar).mean()
        # 1 within four standard errors of the mean of n chi-squares, √(2/n)
        assert abs(chi2 - 1) < 4 * np.sqrt(2 / frame.flux.size)
        assert not frame.mask.any()


def test_expose_keeps_signal_and_marks_cosmic_rays() -> None:
    signal = np.tile(np.linspace(2, 3, PIXELS, dtype=np.float32), (50, 1))
    cam = camera("Z")
    frame = expose(np.random.default_rng(2), cam, signal, np.ones(50), PERFECT)
    expected = np.interp(np.log(cam.wave), np.log(WAVE), signal[0])
    pull = (frame.flux - expected).sum(axis=0) / np.sqrt((1 / frame.ivar).sum(axis=0))
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
    hit = expose(
        np.random.default_rng(2),
        cam,
        signal,
        np.ones(50),
        replace(PERFECT, cosmic_rays=50, cosmics_found=1),
    )
    flagged = hit.mask == COSMIC
    assert flagged.sum() > 500
    np.testing.assert_array_equal(hit.flux[~flagged], frame.flux[~flagged])
    assert np.median((hit.flux - frame.flux)[flagged] * np.sqrt(hit.ivar[flagged])) > 10
    np.testing.assert_array_equal(hit.ivar, frame.ivar)  # as in a coadd of one exposure


def test_dead_cameras_have_no_ivar_and_say_so(survey: MockSurvey) -> None:
    dead = 0
    for path in coadds(survey.pool):
        status = fitsio.read(path, "FIBERMAP")["COADD_FIBERSTATUS"]
        for bit, x in ((22, "B"), (23, "R"), (24, "Z")):
            gone = (fitsio.read(path, f"{x}_IVAR") == 0).all(axis=1)
            np.testing.assert_array_equal(gone, status & (1 << bit) != 0)
            dead += gone.sum()
    assert 1 <= dead <= 25


def test_quasars_peak_at_lyman_alpha() -> None:
    z = np.full(200, 2.5)
    flux = render_quasars(np.random.default_rng(3), z, MockConfig(bal=0, weak_lines=0)).flux
    mean = (flux / flux.mean(axis=1, keepdims=True)).mean(axis=0)
    assert abs(WAVE[mean.argmax()] / (1215.67 * 3.5) - 1) < 0.02
    for line in (1549.06, 1908.73, 2799.1):  # CIV, CIII] and MgII stand out of what is beside them
        at = np.abs(WAVE / (line * 3.5) - 1)
        assert mean[at < 0.004].mean() > 1.08 * mean[(at > 0.03) & (at < 0.045)].mean()


def test_the_forest_absorbs_what_it_should() -> None:
    z = np.full(400, 3.2)
    flux = render_quasars(np.random.default_rng(4), z, MockConfig(bal=0, dla=0)).flux
    open_air = render_quasars(np.random.default_rng(4), np.full(400, 1.2), MockConfig(bal=0)).flux
    assert flux.min() >= 0
    assert (flux > 0.05 * flux.max(axis=1, keepdims=True)).any()
    rest = WAVE / 4.2
    forest = flux[:, (rest > 1090) & (rest < 1150)]
    envelope = np.percentile(forest, 99, axis=1)
    # Mean transmission at z = 2.87 after Faucher-Giguère et al. (2008): exp(−0.36) = 0.70
    assert 0.62 < (forest.mean(axis=1) / envelope).mean() < 0.78
    smooth = open_air[:, 1500:1600]
    assert np.abs(np.diff(smooth, axis=1)).mean() < 0.02 * smooth.mean()


def test_galaxies_break_at_4000_and_emit_oxygen() -> None:
    rng = np.random.default_rng(5)
    passive = render_galaxies(rng, np.full(50, "PASSIVE"), np.full(50, 0.5)).mean(axis=0)
    rest = WAVE / 1.5
    red = passive[(rest > 4050) & (rest < 4250)].mean()
    blue = passive[(rest > 3750) & (rest < 3950)].mean()
    assert 1.5 < red / blue < 2.4  # D4000 of old galaxies
    elg = render_galaxies(rng, np.full(50, "ELG"), np.full(50, 1.0)).mean(axis=0)
    assert abs(WAVE[elg.argmax()] / (3728.5 * 2) - 1) < 0.02


def test_stars_form_a_temperature_sequence() -> None:
    def depth(temperature: float, line: float, half: float) -> float:
        wave = np.arange(3600.0, 9800.0, 1.0)
        flux = photosphere(wave, temperature)
        at = np.abs(wave - line)
        return float(1 - flux[at < half].mean() / flux[(at > 50) & (at < 70)].mean())

    assert depth(9500, 4862.7, 5) > 0.4 > depth(5000, 4862.7, 5)  # Balmer lines peak at A0
    assert depth(4500, 5176, 10) > 0.2 > depth(9500, 5176, 10)  # Mg b
    assert depth(2900, 7090, 10) > 0.3 > depth(5000, 7090, 10)  # TiO


def test_balnicity_of_a_square_trough() -> None:
    v = np.arange(0, 25_001.0, 50.0)
    flux = np.ones((3, len(v)))
    flux[0, (v >= 5000) & (v < 10_000)] = 0.45  # 5000 km/s deep by half: (5000 − 2000) × 0.5
    flux[1, (v >= 5000) & (v < 6900)] = 0.0  # too narrow
    flux[2, v < 3000] = 0.0  # too slow
    np.testing.assert_allclose(balnicity(v, flux), [1500, 0, 0], atol=50)


def test_lines_have_the_given_height_and_equivalent_width() -> None:
    spectra = np.zeros((3, PIXELS), np.float32)
    centre = np.array([5000.0, 6000.0, 20_000.0])
    add_gaussians(spectra, centre, np.full(3, 3000.0), np.array([1.0, 2.0, 3.0]))
    assert spectra[0].max() == pytest.approx(1, abs=1e-3)
    assert abs(WAVE[spectra[1].argmax()] - 6000) < 3
    assert not spectra[2].any()
    flux = np.full((1, PIXELS), 4.0, np.float32)
    add_emission(flux, flux.copy(), np.array([5000.0]), np.array([3000.0]), np.array([50.0]))
    assert np.trapezoid(flux[0] / 4 - 1, WAVE) == pytest.approx(50, rel=0.01)


def test_signal_to_noise_is_as_asked() -> None:
    config = MockConfig(snr_min=2, snr_max=2)
    targets = draw_targets(np.random.default_rng(6), 300, config.mix, config)
    bright = (targets.spectype != "SKY") & (targets.snr > 1.99)
    assert bright.mean() > 0.8
    np.testing.assert_allclose(signal_to_noise(targets.signal)[0][bright], 2, rtol=0.01)
    assert not targets.signal[targets.spectype == "SKY"].any()


def test_log_signal_to_noise_has_a_beta_distribution() -> None:
    config = MockConfig(snr_min=0.3, snr_max=10)
    targets = draw_targets(np.random.default_rng(8), 1500, {"galaxy": 1.0}, config)
    position = np.log(targets.snr / 0.3) / np.log(10 / 0.3)
    assert stats.kstest(position, stats.beta(2, 1.5).cdf).pvalue > 0.01
    assert stats.kstest(position, "uniform").pvalue < 1e-6


def test_mix_is_followed() -> None:
    mix = {"qso": 2.0, "galaxy": 1.0, "sky": 1.0, "oddity": 1.0}
    targets = draw_targets(np.random.default_rng(7), 500, mix, MockConfig())
    counts = pd.Series(targets.spectype[targets.oddity == ""]).value_counts()
    assert "STAR" not in counts
    assert counts["QSO"] == pytest.approx(200, abs=45)
    assert (targets.oddity != "").sum() == pytest.approx(100, abs=40)


def test_faint_labels_are_poor(tmp_path: Path) -> None:
    def quality(snr: float) -> pd.Series:
        config = MockConfig(labelled=60, boss=0, pool=0, snr_min=snr, snr_max=snr, exposures=1)
        return pd.read_csv(write_survey(config, tmp_path / str(snr)).desi_truth).VI_QUALITY

    assert (quality(0.15) < 2.5).mean() > 0.9
    assert (quality(6.0) >= 2.5).mean() > 0.9


def test_a_part_of_size_0_is_not_written(tmp_path: Path) -> None:
    seen: list[int] = []
    survey = write_survey(MockConfig(labelled=0, boss=0, pool=30), tmp_path, seen.append)
    assert sum(seen) == 30
    assert survey == survey_at(tmp_path)
    assert survey.pool_truth.exists()
    assert not survey.boss_spectra.exists()
    assert not survey.desi_truth.exists()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"mix": {"qso": -1.0}}, "data.mock.mix.qso"),
        ({"mix": {"qso": float("nan")}}, "data.mock.mix.qso"),
        ({"mix": {"quasar": 1.0}}, "data.mock.mix.quasar"),
        ({"mix": {"qso": 0.0}}, "data.mock.mix"),
        ({"mix": {"sky": 1.0}}, "data.mock.mix"),
        ({"boss_mix": {"sky": 1.0}}, "data.mock.boss_mix.sky"),
        ({"pool": -1}, "data.mock.pool"),
        ({"labelled": 0, "boss": 0, "pool": 0}, "data.mock.labelled"),
        ({"snr_min": 0.0}, "data.mock.snr_min"),
        ({"inspection_snr": 0.0}, "data.mock.inspection_snr"),
        ({"snr_min": 3.0, "snr_max": 2.0}, "data.mock.snr_max"),
        ({"snr_max": float("inf")}, "data.mock.snr_max"),
        ({"fibres": 501}, "data.mock.fibres"),
        ({"petals": 0}, "data.mock.petals"),
        ({"bal": 1.5}, "data.mock.bal"),
        ({"cosmic_rays": -1.0}, "data.mock.cosmic_rays"),
        ({"qso_z_max": 9.0}, "data.mock.qso_z_max"),
        ({"shift": 1.1}, "data.mock.shift"),
    ],
)
def test_a_bad_configuration_is_refused_by_key(
    change: dict[str, Any], key: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")) as error:
        write_survey(replace(MockConfig(), **change), tmp_path)
    assert str(error.value).endswith(".")
    assert not any(tmp_path.iterdir())


def test_files_do_not_depend_on_the_number_of_threads(tmp_path):
    config = MockConfig(labelled=100, boss=40, pool=0, fibres=50)
    content = []
    for threads in (1, 2):
        with numpy_threads(threads):
            write_survey(config, tmp_path / str(threads))
        files = sorted(p for p in (tmp_path / str(threads)).rglob("*") if p.is_file())
        content.append([file.read_bytes() for file in files])
    assert content[0] == content[1]
