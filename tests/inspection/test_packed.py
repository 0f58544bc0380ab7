"""Packed spectra, expanded as the page does it."""

import base64
import gzip

import numpy as np

from qnal.inspection.packed import packed_spectrum
from qnal.inspection.spectra import CameraSpectrum


def expanded(packed: str) -> tuple[np.ndarray, np.ndarray]:
    content = np.frombuffer(gzip.decompress(base64.b64decode(packed)), np.uint8)
    high, low = content.reshape(2, -1).astype(np.uint16)
    flux, noise = ((high << 8) | low).astype("<u2").view("<f2").astype(float).reshape(2, -1)
    return flux, noise


def test_flux_and_noise_are_exact_to_their_stated_precision():
    rng = np.random.default_rng(1)
    flux = rng.normal(0, 10, 500) * 10 ** rng.uniform(-2, 3, 500)
    noise = 10 ** rng.uniform(-2, 4, 500)
    flux[7] = noise[7] = np.nan
    found = expanded(packed_spectrum([CameraSpectrum("B", np.arange(500.0), flux, noise)]))
    np.testing.assert_allclose(found[0], flux, rtol=5e-4, atol=1e-7)
    np.testing.assert_allclose(found[1], noise, rtol=4e-3)


def test_numbers_too_large_for_float16_are_clipped():
    flux, noise = np.array([1e9, -1e9, 0.0]), np.array([1e9, 1e-9, 1.0])
    found = expanded(packed_spectrum([CameraSpectrum("B", np.arange(3.0), flux, noise)]))
    assert np.isfinite(found).all()
    assert found[0][0] == 65504 and found[0][1] == -65504
