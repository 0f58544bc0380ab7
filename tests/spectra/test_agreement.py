"""Rebinning and renormalisation against QuasarNP's own answers, to 1e-12 of the largest value."""

from pathlib import Path

import fitsio
import numpy as np
import pytest

from qnal.errors import InputError
from qnal.spectra.grid import grid_of, named_grid
from qnal.spectra.readers.boss import read_boss_spectra
from qnal.spectra.readers.desi import find_coadds, read_coadd
from qnal.spectra.rebin import Rebinner
from qnal.spectra.spectra_file import SpectraFile

TOLERANCE = 1e-12


def fits_file(path: Path) -> Path:
    return path if path.exists() else path.with_name(path.name + ".gz")


def deviation(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference relative to the largest value."""
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.fixture(scope="module")
def cameras(peer_data: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """Flux, ivar and wavelengths of the three cameras of QuasarNP's test coadd."""
    with fitsio.FITS(str(fits_file(peer_data / "quasarnet/test_coadd.fits"))) as fits:
        return {
            c: tuple(fits[f"{c}_{what}"].read() for what in ("FLUX", "IVAR", "WAVELENGTH"))
            for c in "BRZ"
        }


@pytest.mark.parametrize(
    ("grid", "file"), [("log", "coadd_rebinned.fits"), ("linear", "coadd_rebinned_linear.fits")]
)
def test_sums_are_quasarnps(cameras: dict, peer_data: Path, grid: str, file: str) -> None:
    with fitsio.FITS(str(fits_file(peer_data / "quasarnet" / file))) as theirs:
        for name, (flux, ivar, wave) in cameras.items():
            ours = Rebinner(len(flux), named_grid(grid))
            ours.add(flux, ivar, wave)
            assert deviation(ours.weighted, theirs[f"{name}_FLUX"].read()) <= TOLERANCE
            assert deviation(ours.ivar, theirs[f"{name}_IVAR"].read()) <= TOLERANCE


def test_spectra_of_a_coadd_are_quasarnps(cameras: dict, peer_data: Path) -> None:
    (empty,) = np.flatnonzero(sum(ivar.sum(axis=1) for _, ivar, _ in cameras.values()) == 0)
    rebinner = Rebinner(len(cameras["B"][0]), named_grid("log"))
    for flux, ivar, wave in cameras.values():
        rebinner.add(flux, ivar, wave)
    x, status = rebinner.renormalised()
    assert np.flatnonzero(status != "ok").tolist() == [empty]
    assert status[empty] == "no_signal"
    theirs = np.load(peer_data / "quasarnet" / "coadd_x.npy")
    assert deviation(np.delete(x, empty, axis=0), theirs) <= TOLERANCE


def test_bins_of_another_grid_are_quasarnps(peer_data: Path) -> None:
    theirs = np.load(peer_data / "quasarnet" / "regrid_arbitrary.npy")
    assert np.array_equal(named_grid("log").bins(np.arange(3600, 9800, 10)), theirs)


def assert_desi_spectra(folder: Path, grid: str, name: str, use_mask: bool) -> None:
    golden = np.load(folder / "golden" / "quasarnp_desi.npz")
    files = find_coadds(str(folder / "desi"), "data.pool")
    assert len(files) == sum(key.endswith("/keep") for key in golden)
    for file in files:
        stem = file.path.name.split(".")[0]
        coadd = read_coadd(file, named_grid(grid), use_mask=use_mask)
        keep = golden[f"{stem}/keep"]
        assert np.flatnonzero(np.asarray(coadd.table["STATUS"]) == "ok").tolist() == keep.tolist()
        assert deviation(coadd.x[keep], golden[f"{stem}/{name}"]) <= TOLERANCE


@pytest.mark.parametrize(("grid", "name"), [("log", "X"), ("linear", "X_linear")])
def test_desi_spectra_are_quasarnps(peer_data: Path, grid: str, name: str) -> None:
    assert_desi_spectra(peer_data, grid, name, use_mask=False)


def test_masked_pixels_are_as_pixels_without_ivar(mock_data: Path) -> None:
    assert_desi_spectra(mock_data, "log", "X_masked", use_mask=True)


def test_boss_spectra_are_quasarnps(peer_data: Path) -> None:
    golden = np.load(peer_data / "golden" / "quasarnp_boss.npz")
    path = fits_file(peer_data / "boss" / "dr12_train.fits")
    x, _, status, targetid, _ = read_boss_spectra(path, named_grid("log"))
    assert set(status) == {"ok"}
    assert deviation(x, golden["X"]) <= TOLERANCE
    table = fitsio.read(str(path), ext=2)
    assert np.array_equal(targetid, table["TARGETID"])


def test_a_coadd_without_fibermap_is_refused(peer_data: Path) -> None:
    path = fits_file(peer_data / "quasarnet" / "test_coadd.fits")
    with pytest.raises(InputError, match=r"test_coadd\.fits.*: it has no FIBERMAP"):
        read_coadd(SpectraFile(path.name, path), named_grid("log"))


def test_grids_are_the_stated_ones() -> None:
    log, linear = named_grid("log"), named_grid("linear")
    assert (len(log), len(linear)) == (443, 458)
    assert log.wave[0] == pytest.approx(3600)
    assert log.wave[-1] == pytest.approx(10 ** (np.log10(3600) + 0.442))
    assert (linear.wave[0], linear.wave[1], linear.wave[-1]) == (3600.0, 3613.6, 9815.2)
    # The native pixels of DESI, 17 to a bin of the linear grid; the last bin has 12.
    native = np.round(np.arange(3600, 9824.8, 0.8), 1)
    assert np.array_equal(linear.bins(native), np.repeat(np.arange(458), 17)[:-5])
    assert np.array_equal(log.bins(log.wave), np.arange(443))


def test_a_grid_is_known_by_its_wavelengths() -> None:
    assert grid_of(named_grid("linear").wave) is named_grid("linear")
    assert grid_of(named_grid("log").wave) is named_grid("log")
    custom = grid_of(np.arange(4000.0, 5000.0, 20.0))
    assert (custom.name, custom.logarithmic, len(custom)) == ("custom", False, 50)
    with pytest.raises(InputError, match="no constant step"):
        grid_of(np.concatenate([np.arange(3600.0, 4000, 10), np.arange(4000.0, 9800, 40)]))
