"""Median signal-to-noise of spectra."""

import numpy as np
from numpy.typing import NDArray


def median_snr(
    flux: NDArray, ivar: NDArray, has_data: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Median of flux·√ivar over all pixels of each spectrum.

    Pixels with ivar ≤ 0 or a non-finite flux count as 0. Equal to :func:`numpy.median`, but faster
    and without overflow.

    Args:
        flux: shape [rows, n].
        ivar: inverse variance of ``flux``, shape [rows, n].
        has_data: which rows have any pixel with weight, shape [rows]; None means all.

    Returns:
        Shape [rows]; NaN where ``has_data`` is false.
    """
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        values = np.sqrt(np.maximum(ivar, 0) if (ivar < 0).any() else ivar)  # maximum is slow
        values *= flux
    if not np.isfinite(values).all():
        values[~np.isfinite(values)] = 0
    pixels = values.shape[1]
    values.partition(pixels // 2, axis=1)
    median = values[:, pixels // 2]
    if pixels % 2 == 0:
        median = median / 2 + values[:, : pixels // 2].max(axis=1) / 2  # the sum may overflow
    with np.errstate(over="ignore"):
        snr = median.astype(np.float32)
    snr[~np.isfinite(snr) if has_data is None else ~has_data | ~np.isfinite(snr)] = np.nan
    return snr
