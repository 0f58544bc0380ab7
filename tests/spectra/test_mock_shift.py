"""The shifted mock survey: nothing changes without a shift, and all that is documented with one."""

from dataclasses import replace
from pathlib import Path

import fitsio
import numpy as np
import pytest

from qnal.ensemble.prior_spectra import prior_survey
from qnal.spectra.mock import MockConfig, galaxies, quasars, shift, stars, write_survey
from qnal.spectra.mock.galaxies import NEBULAR, NEBULAR_PATTERN
from qnal.spectra.mock.model_grid import PIXELS, WAVE
from qnal.spectra.mock.observation import camera, expose, signal_to_noise
from qnal.spectra.mock.quasars import NARROW, NARROW_PATTERN
from qnal.spectra.mock.targets import draw_targets
from qnal.stages.inputs import mock_fingerprint

SHIFTED = MockConfig(shift=1)
SIZES = [value for value in vars(shift).values() if isinstance(value, float)]


def test_factors_without_a_shift_are_exactly_1() -> None:
    assert len(SIZES) > 10
    assert {shift.factor(size, 0.0) for size in SIZES} == {1.0}
    assert (shift.pattern(1, 0.4, 0.0, 50) == 1).all()
    assert (shift.noise_shape(WAVE, 0.0) == 1).all()


def test_the_usual_survey_is_what_it_was_before_there_were_shifts() -> None:
    config = MockConfig()
    targets = draw_targets(np.random.default_rng(12), 60, config.mix, config)
    mean = {k: targets.signal[targets.spectype == k].mean() for k in ("QSO", "GALAXY", "STAR")}
    assert mean == pytest.approx({"QSO": 1.565493, "GALAXY": 1.8362967, "STAR": 1.7417045})
    assert targets.snr.mean() == pytest.approx(3.162738881791461)
    frame = expose(np.random.default_rng(13), camera("B"), targets.signal, np.ones(60), config)
    assert frame.flux.mean() == pytest.approx(1.6715902, rel=1e-5)
    assert frame.flux.std() == pytest.approx(3.0059190, rel=1e-5)
    assert frame.ivar.mean() == pytest.approx(2.1359596, rel=1e-5)
    assert (frame.mask > 0).sum() == 92


def test_names_of_surveys() -> None:
    usual = "c3aa9744214caf6eb993d6f88f3f1dda3e4e60d59f712b6463c4ce2c4b00dfa1"
    assert mock_fingerprint(MockConfig()) == mock_fingerprint(MockConfig(shift=0.0)) == usual
    assert mock_fingerprint(SHIFTED) != mock_fingerprint(MockConfig(shift=0.5)) != usual
    assert prior_survey(1, 10).shift == 0


def test_patterns_are_fixed_and_proportional() -> None:
    whole, half = (shift.pattern(4, 0.4, s, 5, 4) for s in (1.0, 0.5))
    np.testing.assert_allclose(half**2, whole)
    assert set(np.round(np.log(whole).ravel(), 9)) == {-0.4, 0.4}
    assert (shift.pattern(4, 0.4, 1.0, 5, 4) == whole).all()


@pytest.mark.parametrize(("lines", "seed"), [(NARROW, NARROW_PATTERN), (NEBULAR, NEBULAR_PATTERN)])
def test_doublets_keep_their_ratios(lines: tuple, seed: int) -> None:
    factors = dict(
        zip((line[0] for line in lines), shift.pattern(seed, 0.4, 1.0, len(lines)), strict=True)
    )
    for one, other in ((4960.3, 5008.24), (6549.9, 6585.3), (9071.1, 9533.2)):
        assert factors.get(one) == factors.get(other)


def excess(flux: np.ndarray, centre: float) -> float:
    """Mean flux in a line over that beside it, minus 1."""
    mean = (flux / np.median(flux, axis=1, keepdims=True)).mean(axis=0)
    distance = np.abs(WAVE / centre - 1)
    return float(
        mean[distance < 0.006].mean() / mean[(distance > 0.03) & (distance < 0.04)].mean() - 1
    )


def test_quasars() -> None:
    z = np.full(300, 1.7)
    usual, other = (
        quasars.render(np.random.default_rng(3), z, MockConfig(shift=s, bal=0)).flux for s in (0, 1)
    )
    colour = [np.median(f[:, 2600] / f[:, 100]) for f in (usual, other)]
    assert colour[1] > 1.3 * colour[0]  # a redder continuum and more dust
    civ, ciii = ([excess(f, line * 2.7) for f in (usual, other)] for line in (1549.06, 1908.73))
    # One line is stronger and the other weaker; both are broader.
    assert civ[1] > 1.05 * civ[0]
    assert ciii[1] < 0.6 * ciii[0]


def test_galaxies() -> None:
    kind, z = np.full(300, "STARFORMING"), np.full(300, 0.4)
    usual, other = (galaxies.render(np.random.default_rng(3), kind, z, s) for s in (0.0, 1.0))
    oxygen = [excess(f, 3728.5 * 1.4) for f in (usual, other)]
    assert oxygen[1] > 1.3 * oxygen[0]
    blue = [np.median(f[:, 50] / f[:, 1500]) for f in (usual, other)]
    assert blue[1] < 0.8 * blue[0]  # other populations and more dust


def test_stars() -> None:
    usual, other = (stars.draw_stars(np.random.default_rng(3), 600, s) for s in (0.0, 1.0))
    assert (usual.kind == other.kind).all()
    assert (usual.z == other.z).all()
    for kind in ("G", "M"):
        red = [np.median(s.flux[s.kind == kind][:, 2600] / s.flux[s.kind == kind][:, 900])
               for s in (usual, other)]  # fmt: skip
        assert red[1] > 1.05 * red[0]


def test_noise_has_another_shape_and_the_stated_variance() -> None:
    ratio = [np.sqrt(camera(c, 1.0).variance / camera(c).variance) for c in "BZ"]
    assert ratio[0][0] == pytest.approx(np.exp(0.4), rel=0.01)
    assert ratio[1][-1] == pytest.approx(np.exp(-0.4), rel=0.01)
    sky = np.zeros((200, PIXELS), np.float32)
    perfect = replace(SHIFTED, cosmic_rays=0, sky_residual=0)
    frame = expose(np.random.default_rng(1), camera("B", 1.0), sky, np.ones(200), perfect)
    assert abs((frame.flux**2 * frame.ivar).mean() - 1) < 4 * np.sqrt(2 / frame.flux.size)


def test_signal_to_noise_is_that_of_the_shifted_noise() -> None:
    config = replace(SHIFTED, snr_min=2, snr_max=2)
    targets = draw_targets(np.random.default_rng(6), 300, {"galaxy": 1.0}, config)
    as_asked = np.isclose(signal_to_noise(targets.signal, 1.0)[0], 2, rtol=0.01)
    assert as_asked.mean() > 0.9  # the others have strong lines on a faint continuum
    assert np.isclose(signal_to_noise(targets.signal)[0], 2, rtol=0.01).mean() < 0.2


def test_calibration_errors_are_smooth() -> None:
    cam = camera("R", 1.0)
    errors = shift.smooth_errors(np.random.default_rng(4), 2000, cam.wave, 1.0)
    assert errors[:, 0].std() == pytest.approx(0.05 * np.sqrt(2), rel=0.1)
    assert np.abs(np.diff(errors, axis=1)).max() < 1e-3
    signal = np.full((20, PIXELS), 50, np.float32)
    quiet = replace(SHIFTED, cosmic_rays=0, sky_residual=0, calibration=0)
    frame = expose(np.random.default_rng(5), cam, signal, np.full(20, 1e-4), quiet)
    ends = frame.flux[:, [0, -1]] / 50
    assert 0.02 < (ends[:, 1] - ends[:, 0]).std() < 0.3  # a slope that the usual survey lacks
    usual = expose(
        np.random.default_rng(5), camera("R"), signal, np.full(20, 1e-4), replace(quiet, shift=0.0)
    )
    assert np.abs(usual.flux / 50 - 1).max() < 0.01


def test_a_shifted_survey_is_written(tmp_path: Path) -> None:
    small = MockConfig(labelled=30, boss=20, pool=0, fibres=30, petals=1, exposures=1)
    spectra = []
    for amount in (0.0, 1.0):
        survey = write_survey(replace(small, shift=amount), tmp_path / str(amount))
        (coadd,) = survey.desi_spectra.rglob("coadd-*.fits")
        spectra.append([fitsio.read(coadd, "R_FLUX"), fitsio.read(survey.boss_spectra)])
    for usual, other in zip(*spectra, strict=True):
        assert usual.shape == other.shape
        assert np.isfinite(other).all()
        assert not ((usual == other).all(axis=1) & (usual != 0).any(axis=1)).any()
