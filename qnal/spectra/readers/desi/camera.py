"""The arrays of one camera of a coadd, checked against each other."""

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.fits import FitsFile
from qnal.spectra.readers.reader import Arm

CAMERAS = ("B", "R", "Z")


class Camera(Arm):
    """``X_FLUX``, ``X_IVAR``, ``X_WAVELENGTH`` and ``X_MASK`` of camera X of an open coadd.

    Only the wavelengths are read at first; flux, ivar and mask are read by :meth:`rows`.

    Args:
        fits: the coadd.
        name: B, R or Z.
        rows: number of rows of FIBERMAP.
        use_mask: whether to read the mask, if the file has one.

    Attributes:
        wave: wavelengths of the pixels, shape [n], Å, increasing.

    Raises:
        InputError: an HDU is absent, or has another shape or type.
    """

    def __init__(self, fits: FitsFile, name: str, rows: int, use_mask: bool = True) -> None:
        for array in ("FLUX", "IVAR", "WAVELENGTH"):
            if f"{name}_{array}" not in fits:
                raise InputError(
                    f"{fits.path}: it has no {name}_{array}; a coadd has cameras "
                    f"{', '.join(CAMERAS)}."
                )
        self._fits, self.name = fits, name
        self.wave = _wavelengths(fits, f"{name}_WAVELENGTH")
        self._shape = (rows, len(self.wave))
        # A file in which only some cameras have a mask is truncated or damaged.
        self._has_mask = use_mask and any(f"{camera}_MASK" in fits for camera in CAMERAS)
        for array in ("FLUX", "IVAR", "MASK") if self._has_mask else ("FLUX", "IVAR"):
            self._check_shape(f"{name}_{array}")

    def rows(self, first: int, last: int) -> tuple[NDArray, NDArray, NDArray | None]:
        """Flux (1e-17 erg/s/cm²/Å), ivar (1/flux²) and mask of some rows.

        Args:
            first, last: the rows from ``first`` up to, not including, ``last``.

        Returns:
            Three arrays of shape [last − first, n]. The mask is non-zero where a pixel is bad;
            None if the file has no mask or it is not used.
        """
        flux, ivar = (
            _floats(self._fits.image(f"{self.name}_{array}", first, last))
            for array in ("FLUX", "IVAR")
        )
        mask = self._fits.image(f"{self.name}_MASK", first, last) if self._has_mask else None
        return flux, ivar, mask

    def _check_shape(self, name: str) -> None:
        shape = self._fits.shape(name)
        if shape != self._shape:
            raise InputError(
                f"{self._fits.path}: {name} has shape {shape}, not {self._shape}, the rows of "
                f"FIBERMAP by the pixels of {self.name}_WAVELENGTH."
            )


def _wavelengths(fits: FitsFile, name: str) -> NDArray[np.float64]:
    wave = fits.image(name)
    if (
        wave.ndim != 1
        or not (np.isfinite(wave).all() and wave[0] > 0)
        or not np.all(wave[1:] > wave[:-1])
    ):
        raise InputError(f"{fits.path}: {name} is not a list of increasing wavelengths.")
    return wave.astype(np.float64)


def _floats(array: NDArray) -> NDArray:
    # Products of integers would overflow.
    return array if array.dtype.kind == "f" else array.astype(np.float64)
