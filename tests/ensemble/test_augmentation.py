"""Versions of spectra that augmentation makes, and training on them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qnal.ensemble.augmentation import GAP_SHARE, Augment, Augmentation, with_versions
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.member_trainer import MemberTrainer
from qnal.labels.label import Label
from qnal.network.fit_state import FitState, InitialState, Versions
from qnal.network.hyperparameters import Hyperparameters
from qnal.spectra.grid import named_grid
from qnal.spectra.rebin import renormalise_rebinned
from tests.ensemble.test_prior import RECIPE

GRID = named_grid("log")
SEED = 7


def spectra(rows=400, snr=5.0, sigma=None):
    """Flat spectra with one narrow line at a wavelength of 5000 Å (1+z)/2, z near 1."""
    rng = np.random.default_rng(1)
    z = rng.uniform(0.8, 1.2, rows)
    flux = np.ones((rows, len(GRID)), np.float32)
    line = np.floor(GRID.position(2500.0 * (1 + z))).astype(int)
    flux[np.arange(rows), line] = 20
    noise = np.full(len(GRID), 0.01, np.float32) if sigma is None else sigma
    ivar = np.broadcast_to(1 / noise**2, flux.shape).astype(np.float32)
    table = pd.DataFrame(
        {
            "SOURCE": "desi",
            "TARGETID": np.arange(rows),
            "EXPID": 1,
            "FILE": "coadd.fits",
            "ROW": np.arange(rows, dtype=np.int32),
            "SNR": np.full(rows, snr, np.float32),
            "LABEL": Label.QSO_LZ,
            "Z": z,
            "BAL": 0,
        }
    )
    rebinned = np.stack([flux, ivar], axis=1)
    return LabelledSet(renormalise_rebinned(rebinned), table, rebinned=rebinned)


def versions(labelled, *kinds, number=3, rows=None):
    augment = Augment(frozenset(kinds), number)
    whole = with_versions(labelled, len(labelled) if rows is None else rows, augment, GRID, SEED)
    assert len(whole) == number * len(labelled)
    assert np.array_equal(whole.x[: len(labelled)], labelled.x)
    assert whole.table[: len(labelled)].equals(labelled.table)
    return whole.subset(np.arange(len(labelled), len(whole)))


def test_lines_move_with_the_redshift():
    labelled = spectra()
    changed = versions(labelled, Augmentation.redshift)
    z = changed.column("Z")
    line = np.floor(GRID.position(2500.0 * (1 + z)) + 1e-6).astype(int)
    assert np.abs(changed.x.argmax(axis=1) - line).max() <= 1
    assert (changed.x.argmax(axis=1) == line).mean() > 0.9
    shift = np.log1p(z) - np.log1p(np.tile(labelled.column("Z"), 2))
    assert np.abs(shift).max() < 0.0515
    assert np.abs(shift).std() > 0.01
    # What enters at the edges has no data: its value is that of flux 0, the lowest of these.
    most = np.argmax(shift)
    moved = round(shift[most] / np.log(10) * 1000)
    assert moved > 15
    assert (changed.x[most, :moved] == changed.x[most].min()).all()
    assert changed.x[most, moved] > changed.x[most].min()


def test_noise_reaches_the_signal_to_noise_of_labelled_spectra():
    flat = spectra(rows=200, sigma=np.full(len(GRID), 0.1, np.float32))
    table = flat.table.assign(SNR=np.where(np.arange(200) < 100, 2.0, 8.0).astype(np.float32))
    both = LabelledSet(flat.x, table, rebinned=flat.rebinned)
    # Only the first half is labelled: all spectra get its signal-to-noise.
    changed = versions(both, Augmentation.noise, rows=100).x.reshape(2, 200, -1)
    assert np.array_equal(changed[:, :100], np.tile(flat.x[:100], (2, 1, 1)))
    # The noise of the others rises fourfold: in units of the line, by sqrt(15) × 0.1 of 19.
    line = changed[:, 100:].max(axis=2) - np.median(changed[:, 100:], axis=2)
    noise = 1.4826 * np.median(
        np.abs(changed[:, 100:] - np.median(changed[:, 100:], axis=2, keepdims=True)), axis=2
    )
    assert np.median(noise / line) == pytest.approx(np.sqrt(15) * 0.1 / 19, rel=0.05)


def test_calibration_is_smooth_and_keeps_the_redshift():
    flat = spectra()
    changed = versions(flat, Augmentation.calibration)
    assert np.array_equal(changed.column("Z"), np.tile(flat.column("Z"), 2))
    change = changed.x - np.tile(flat.x, (2, 1))
    step = np.abs(np.diff(change, axis=1))
    assert np.median(np.abs(change)) > 10 * np.median(step)


def test_sky_residuals_lie_where_lines_raise_the_noise():
    sigma = np.full(len(GRID), 0.01, np.float32)
    sigma[400] = 1.0
    changed = versions(spectra(sigma=sigma), Augmentation.sky)
    continuum = np.delete(changed.x, 400, axis=1)
    other = np.abs(continuum - np.median(continuum, axis=1)[:, None])
    excess = np.abs(changed.x[:, 400] - np.median(continuum, axis=1))
    assert np.median(excess) > 100 * np.median(other)


def test_a_third_is_missing_in_some_versions():
    changed = versions(spectra(rows=2000), Augmentation.gap)
    missing = changed.x == changed.x.min(axis=1, keepdims=True)
    thirds = missing.reshape(len(changed), -1).sum(axis=1)
    gone = (thirds > 140) & (thirds < 150)
    assert gone.mean() == pytest.approx(GAP_SHARE, abs=0.02)


def test_a_version_without_data_is_the_spectrum_itself():
    one = spectra(rows=3)
    rebinned = one.rebinned.copy()
    rebinned[:, :, :300] = 0  # data in one third only, which the gap may remove
    narrow = LabelledSet(renormalise_rebinned(rebinned), one.table, rebinned=rebinned)
    changed = versions(narrow, Augmentation.gap, number=200)
    assert np.isfinite(changed.x).all()


def test_flux_and_ivar_are_needed():
    labelled = replace(spectra(), rebinned=None)
    with pytest.raises(ValueError, match="flux and ivar"):
        with_versions(labelled, 4, Augment(frozenset(Augmentation), 2), GRID, SEED)


def test_fingerprints_without_augmentation_stay_as_they_are():
    plain = RECIPE.fingerprint("set")
    assert replace(RECIPE, augment=Augment(frozenset(), 30)).fingerprint("set") == plain
    changed = {
        replace(RECIPE, augment=Augment(kinds, number)).fingerprint("set")
        for kinds in (frozenset({Augmentation.noise}), frozenset(Augmentation))
        for number in (2, 8)
    }
    assert len(changed | {plain}) == 5


def test_each_epoch_draws_a_version_of_every_spectrum():
    fit = FitState(
        InitialState(None, np.arange(10), np.random.default_rng(1), versions=Versions(4, 10)),
        Hyperparameters(epochs=50, min_steps=0, batch_size=10),
    )
    epochs = np.array([np.sort(fit.batch() % 10) for _ in range(50)])
    assert (epochs == np.arange(10)).all()
    drawn = np.concatenate([fit.batch() // 10 for _ in range(50)])
    assert np.bincount(drawn, minlength=4) == pytest.approx(125, abs=40)


@pytest.mark.process
def test_a_member_is_trained_on_versions_and_evaluated_on_spectra(tmp_path):
    labelled = spectra(rows=30)
    plain, augmented = (
        MemberTrainer(
            replace(RECIPE, prior=type(RECIPE.prior)(), augment=augment),
            labelled,
            EnsembleFolder(tmp_path / name),
        )
        for name, augment in (
            ("plain", Augment()),
            ("augmented", Augment(frozenset(Augmentation), 5)),
        )
    )
    first, second = plain.train([0])[0], augmented.train([0])[0]
    assert len(augmented.trainer.x) == 150
    assert first.loss != second.loss
    assert (first.bag_rows, first.oob_rows) == (second.bag_rows, second.oob_rows)
