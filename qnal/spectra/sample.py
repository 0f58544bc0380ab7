"""A random sample of fixed size of spectra that are read file by file."""

import numpy as np
from numpy.typing import NDArray


class SpectraSample:
    """Keeps the spectra with the smallest random keys of all that were offered.

    Memory is proportional to the size of the sample. Which spectra are kept does not depend on the
    order or the batches in which they are offered.

    Args:
        size: maximum number of spectra.
        npix: pixels per spectrum.
    """

    def __init__(self, size: int, npix: int) -> None:
        self.size = size
        self._x = np.empty((0, npix), np.float32)
        self._keys = np.empty(0)

    def __len__(self) -> int:
        return len(self._keys)

    def offer(self, x: NDArray[np.floating], keys: NDArray[np.float64]) -> None:
        """Add spectra to the sample, displacing those with larger keys once it is full.

        Args:
            x: spectra, shape [n, npix].
            keys: one random number per spectrum, shape [n].
        """
        size, have = self.size, len(self)
        free = min(size - have, len(keys))
        if have + free > len(self._x):
            room = np.empty((min(size, max(2 * have, have + free)), x.shape[1]), np.float32)
            room[:have] = self._x[:have]
            self._x = room
        self._x[have : have + free] = x[:free]
        self._keys = np.concatenate([self._keys, keys[:free]])
        x, keys = x[free:], keys[free:]
        if not len(keys):
            return
        kept = np.zeros(size + len(keys), bool)
        kept[np.argpartition(np.concatenate([self._keys, keys]), size - 1)[:size]] = True
        leaving, coming = np.flatnonzero(~kept[:size]), np.flatnonzero(kept[size:])
        self._x[leaving], self._keys[leaving] = x[coming], keys[coming]

    def spectra(self) -> NDArray[np.float32]:
        """The sample in the order of its keys, shape [min(size, offered), npix]."""
        return self._x[np.argsort(self._keys)]
