"""A random sample of spectra that come a file at a time, more of them than memory holds."""

import numpy as np
from numpy.typing import NDArray


class SpectraSample:
    """The spectra with the smallest random keys of all that were offered.

    Memory grows with the sample, not with how many spectra are offered, and which ones are kept
    does not depend on their order or batches.

    Args:
        most: how many spectra are kept.
        npix: pixels of a spectrum.
    """

    def __init__(self, most: int, npix: int) -> None:
        self.most = most
        self._x = np.empty((0, npix), np.float32)
        self._keys = np.empty(0)

    def __len__(self) -> int:
        return len(self._keys)

    def offer(self, x: NDArray[np.floating], keys: NDArray[np.float64]) -> None:
        """Keep those of some spectra that belong to the sample so far.

        Args:
            x: spectra, shape [n, npix].
            keys: a random number for each, shape [n].
        """
        most, have = self.most, len(self)
        free = min(most - have, len(keys))
        if have + free > len(self._x):
            room = np.empty((min(most, max(2 * have, have + free)), x.shape[1]), np.float32)
            room[:have] = self._x[:have]
            self._x = room
        self._x[have : have + free] = x[:free]
        self._keys = np.concatenate([self._keys, keys[:free]])
        x, keys = x[free:], keys[free:]
        if not len(keys):
            return
        kept = np.zeros(most + len(keys), bool)
        kept[np.argpartition(np.concatenate([self._keys, keys]), most - 1)[:most]] = True
        leaving, coming = np.flatnonzero(~kept[:most]), np.flatnonzero(kept[most:])
        self._x[leaving], self._keys[leaving] = x[coming], keys[coming]

    def spectra(self) -> NDArray[np.float32]:
        """The sample in the order of its keys, shape [min(most, offered), npix]."""
        return self._x[np.argsort(self._keys)]
