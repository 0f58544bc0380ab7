"""One camera of a coadd file: its four arrays, checked, and its signal-to-noise."""

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile, Image

CAMERAS = ("B", "R", "Z")


class Camera:
    """``X_FLUX``, ``X_IVAR``, ``X_WAVELENGTH`` and ``X_MASK`` of camera X of an opened coadd.

    Args:
        fits: the coadd.
        name: B, R or Z.
        rows: number of rows that FIBERMAP has.
        use_mask: whether to read the mask, if there is one.

    Attributes:
        wave: shape [n], Å, increasing.

    Raises:
        InputError: one of them is absent, or of another shape or type.
    """

    def __init__(self, fits: FitsFile, name: str, rows: int, use_mask: bool = True) -> None:
        for what in ("FLUX", "IVAR", "WAVELENGTH"):
            if f"{name}_{what}" not in fits:
                raise InputError(
                    f"{fits.path}: it has no {name}_{what}; a coadd has cameras "
                    f"{', '.join(CAMERAS)}."
                )
        self.wave = _wavelengths(fits, f"{name}_WAVELENGTH")
        shape = (rows, len(self.wave))
        self._flux = _image(fits, f"{name}_FLUX", shape)
        self._ivar = _image(fits, f"{name}_IVAR", shape)
        self._mask: Image | None = None
        if use_mask and any(f"{camera}_MASK" in fits for camera in CAMERAS):
            # A mask that only some cameras have is the mark of a file that broke off.
            self._mask = _image(fits, f"{name}_MASK", shape)

    def rows(self, first: int, last: int) -> tuple[NDArray, NDArray, NDArray | None]:
        """Flux (1e-17 erg/s/cm²/Å), ivar and mask (None: no pixel is bad) of some rows.

        Args:
            first, last: the rows from ``first`` up to, not including, ``last``.
        """
        flux, ivar = (_floats(image.rows(first, last)) for image in (self._flux, self._ivar))
        return flux, ivar, None if self._mask is None else self._mask.rows(first, last)


def _wavelengths(fits: FitsFile, name: str) -> NDArray[np.float64]:
    wave = fits.image(name).read()
    if (
        wave.ndim != 1
        or not (np.isfinite(wave).all() and wave[0] > 0)
        or not np.all(wave[1:] > wave[:-1])
    ):
        raise InputError(f"{fits.path}: {name} is not a list of increasing wavelengths.")
    return wave.astype(np.float64)


def _image(fits: FitsFile, name: str, shape: tuple[int, int]) -> Image:
    image = fits.image(name)
    if image.shape != shape:
        raise InputError(
            f"{fits.path}: {name} has shape {image.shape}, not {shape}, the rows of FIBERMAP by "
            f"the pixels of {name[0]}_WAVELENGTH."
        )
    return image


def _floats(array: NDArray) -> NDArray:
    # Whole numbers would overflow when they are multiplied.
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def median_snr(
    flux: NDArray, ivar: NDArray, alive: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Median flux·√ivar over all pixels of a camera; NaN where the camera is dead.

    Pixels without weight count as 0, and so do those whose flux is not finite.

    Args:
        flux: shape [rows, n].
        ivar: inverse variance of it, shape [rows, n].
        alive: which rows have any weight, shape [rows]; all if None.

    Returns:
        Shape [rows].
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
        median = median / 2 + values[:, : pixels // 2].max(axis=1) / 2  # their sum may overflow
    with np.errstate(over="ignore"):
        snr = median.astype(np.float32)
    snr[~np.isfinite(snr) if alive is None else ~alive | ~np.isfinite(snr)] = np.nan
    return snr
