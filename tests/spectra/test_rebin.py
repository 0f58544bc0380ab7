"""Properties of rebinning and renormalisation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qnal.spectra.grid import named_grid
from qnal.spectra.rebin import BLOCK, Rebinner, Status, renormalise
from qnal.spectra.signal_to_noise import median_snr

few = settings(max_examples=40)
GRIDS = st.sampled_from(["log", "linear"])
WAVES = st.builds(
    lambda start, step, n: start + step * np.arange(n),
    st.floats(2000, 9000),
    st.floats(0.3, 60),
    st.integers(1, 200),
)


@st.composite
def spectra(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    wave = draw(WAVES)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = draw(st.integers(1, 5))
    flux = rng.normal(1, 1, (rows, len(wave)))
    ivar = rng.uniform(0, 3, (rows, len(wave))) * (rng.random((rows, len(wave))) < 0.8)
    return flux, ivar, wave


@few
@given(spectra(), GRIDS)
def test_what_lies_on_the_grid_is_kept(data: tuple, name: str) -> None:
    flux, ivar, wave = data
    grid = named_grid(name)
    inside = grid.bins(wave) >= 0
    rebinner = Rebinner(len(flux), grid)
    alive = rebinner.add(flux, ivar, wave)
    assert rebinner.ivar.sum(axis=1) == pytest.approx(ivar[:, inside].sum(axis=1))
    assert rebinner.weighted.sum(axis=1) == pytest.approx((flux * ivar)[:, inside].sum(axis=1))
    assert np.array_equal(alive, (ivar[:, inside] > 0).any(axis=1))


@few
@given(spectra(), GRIDS)
def test_each_pixel_goes_to_its_bin(data: tuple, name: str) -> None:
    flux, ivar, wave = data
    grid = named_grid(name)
    expected = np.zeros((len(flux), len(grid)))
    for pixel, bin_ in enumerate(grid.bins(wave)):
        if bin_ >= 0:
            expected[:, bin_] += ivar[:, pixel]
    rebinner = Rebinner(len(flux), grid)
    rebinner.add(flux, ivar, wave)
    assert rebinner.ivar == pytest.approx(expected)


@few
@given(spectra(), GRIDS)
def test_mean_is_0_and_rms_is_1(data: tuple, name: str) -> None:
    flux, ivar, wave = data
    rebinner = Rebinner(len(flux), named_grid(name))
    rebinner.add(flux, ivar, wave)
    x, status = rebinner.renormalised()
    ok = status == Status.OK
    total = rebinner.ivar[ok].sum(axis=1)
    assert (x[ok] * rebinner.ivar[ok]).sum(axis=1) / total == pytest.approx(0, abs=1e-8)
    assert (x[ok] ** 2 * rebinner.ivar[ok]).sum(axis=1) / total == pytest.approx(1)
    assert (x[~ok] == 0).all()


@few
@given(spectra(), st.floats(0.01, 100), st.floats(-10, 10), st.floats(0.01, 100))
def test_scale_and_zero_of_flux_and_scale_of_ivar_do_not_matter(
    data: tuple, scale: float, zero: float, weight: float
) -> None:
    flux, ivar, wave = data
    grid = named_grid("log")
    x, status = renormalise(flux, ivar, wave, grid)
    has_data = np.zeros_like(x, bool)
    rebinner = Rebinner(len(flux), grid)
    rebinner.add(flux, ivar, wave)
    has_data = rebinner.ivar > 0
    y, other = renormalise(scale * flux + zero, weight * ivar, wave, grid)
    both = ((status == Status.OK) & (other == Status.OK))[:, None] & has_data
    assert y[both] == pytest.approx(x[both], rel=1e-6, abs=1e-6)


def test_rows_do_not_see_each_other() -> None:
    rng = np.random.default_rng(0)
    rows = 2 * BLOCK + 3
    wave = np.arange(3600, 9800, 7.0)
    flux = rng.normal(1, 1, (rows, len(wave))).astype(np.float32)
    ivar = rng.uniform(0, 1, flux.shape).astype(np.float32)
    flux[5, 3] = np.nan
    x, status = renormalise(flux, ivar, wave, named_grid("log"))
    order = rng.permutation(rows)
    y, other = renormalise(flux[order], ivar[order], wave, named_grid("log"))
    assert np.array_equal(y, x[order])
    assert np.array_equal(other, status[order])
    one = np.concatenate(
        [renormalise(flux[[i]], ivar[[i]], wave, named_grid("log"))[0] for i in range(rows)]
    )
    assert np.array_equal(one, x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_finite_counts_only_where_there_is_weight(
    bad: float, dtype: type[np.floating]
) -> None:
    grid = named_grid("log")
    wave = np.arange(3600, 9800, 9.0)
    rng = np.random.default_rng(1)
    flux = rng.normal(1, 1, (5, len(wave))).astype(dtype)
    ivar = np.ones_like(flux)
    expected = flux.copy()
    flux[0, 50] = bad  # used
    flux[1, 50], ivar[1, 50] = bad, 0  # without weight
    flux[2, 50] = bad  # masked
    ivar[3, 50] = bad
    mask = np.zeros(flux.shape, np.int32)
    mask[2, 50] = 4
    rebinner = Rebinner(5, grid)
    rebinner.add(flux, ivar, wave, mask)
    x, status = rebinner.renormalised()
    # An ivar of −∞ is below 0, so that the pixel has no weight.
    third = "ok" if bad == -np.inf else "non_finite"
    assert status.tolist() == ["non_finite", "ok", "ok", third, "ok"]
    assert np.isfinite(x).all()
    weight = np.ones_like(expected)
    weight[:, 50] = 0
    without, _ = renormalise(expected, weight, wave, grid)
    assert np.array_equal(x[1:3], without[1:3])


def test_each_status_has_its_cause() -> None:
    wave = np.arange(3600, 9800, 9.0)
    n = len(wave)
    flux = np.stack([np.linspace(0, 1, n), np.zeros(n), np.full(n, 3.7), np.full(n, 1e300)])
    ivar = np.ones_like(flux)
    ivar[1] = 0
    ivar[3] = 1e300
    x, status = renormalise(flux, ivar, wave, named_grid("log"))
    assert status.tolist() == ["ok", "no_signal", "zero_variance", "non_finite"]
    assert (x[1:] == 0).all()


@few
@given(
    hnp.arrays(np.float32, (3, 40), elements=st.floats(width=32)),
    hnp.arrays(np.float32, (3, 40), elements=st.floats(width=32)),
    hnp.arrays(np.int32, (3, 40), elements=st.integers(0, 1)),
)
def test_nothing_that_a_file_can_hold_gives_anything_but_numbers(
    flux: np.ndarray, ivar: np.ndarray, mask: np.ndarray
) -> None:
    rebinner = Rebinner(3, named_grid("log"))
    wave = np.linspace(3500, 10100, 40)
    alive = rebinner.add(flux, ivar, wave, mask)
    x, status = rebinner.renormalised()
    assert np.isfinite(x).all()
    assert set(status) <= set(Status)
    snr = median_snr(flux, ivar, alive)
    assert np.array_equal(np.isnan(snr), ~alive)
    assert not np.isinf(snr).any()


@few
@given(st.integers(1, 30), st.integers(0, 2**32))
def test_median_signal_to_noise_is_numpys(pixels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    flux = rng.normal(1, 1, (4, pixels)).astype(np.float32)
    ivar = rng.uniform(-0.2, 2, (4, pixels)).astype(np.float32)
    expected = np.median(flux * np.sqrt(np.maximum(ivar, 0)), axis=1)
    assert median_snr(flux, ivar) == pytest.approx(expected)
    dead = median_snr(flux, ivar, np.array([True, False, True, False]))
    assert np.isnan(dead[[1, 3]]).all()
    assert dead[[0, 2]] == pytest.approx(expected[[0, 2]])


def test_a_camera_beyond_the_grid_adds_nothing() -> None:
    rebinner = Rebinner(2, named_grid("log"))
    alive = rebinner.add(np.ones((2, 5)), np.ones((2, 5)), np.arange(20000.0, 20005.0))
    assert not alive.any()
    assert not rebinner.ivar.any()
