"""Data packed for the page: gzip, then base64; spectra as 16-bit floating-point numbers.

A browser expands them with its DecompressionStream. A float16 has 11 significant bits, so a flux is
exact to 0.05 %, far below the noise that it is drawn with. The noise is rounded to 8 bits, 0.4 %,
which saves space. The bytes of a spectrum are all high bytes followed by all low bytes, because
high bytes resemble each other and compress well.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.inspection.spectra import CameraSpectrum

LARGEST = 65504.0  # float16
NOISE_MASK = np.uint16(0xFFF8)  # keeps 7 of the 10 stored bits, and the leading one


def packed_json(content: Any) -> str:
    """Any JSON document."""
    return _packed(json.dumps(content, allow_nan=False, separators=(",", ":")).encode())


def packed_wave(wave: NDArray[np.floating]) -> str:
    """Wavelengths as float32."""
    return _packed(wave.astype("<f4").tobytes())


def packed_spectrum(spectrum: Sequence[CameraSpectrum]) -> str:
    """Flux of all cameras, then noise of all cameras."""
    flux = _half(np.concatenate([camera.flux for camera in spectrum]))
    noise = _half(np.concatenate([camera.noise for camera in spectrum]))
    words = np.concatenate([flux, _rounded(noise)])
    return _packed(np.concatenate([words >> 8, words & 0xFF]).astype(np.uint8).tobytes())


def _half(values: NDArray[np.floating]) -> NDArray[np.uint16]:
    clipped = np.clip(values, -LARGEST, LARGEST)  # NaN stays NaN
    return clipped.astype("<f2").view(np.uint16)


def _rounded(words: NDArray[np.uint16]) -> NDArray[np.uint16]:
    finite = (words & 0x7C00) != 0x7C00
    return np.where(finite, np.minimum(words, 0x7BF7) + 4 & NOISE_MASK, words).astype(np.uint16)


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()
