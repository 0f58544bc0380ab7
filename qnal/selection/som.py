"""The self-organising map: a frozen chart of what spectra there are.

Kohonen's map in its batch form (Kohonen 1995, *Self-Organizing Maps*, sec. 3.6), with the grid,
the answers and the files of SOMVIZ.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.selection import som_files
from qnal.selection.lattice import ADJACENT, Shape, Wrap, separations, u_matrix

NARROWEST = 0.5  # final width of the neighbourhood, cells
CHUNK_BYTES = 1 << 25  # of distances at a time, so that memory does not grow with the spectra


@dataclass(frozen=True, eq=False)
class SelfOrganizingMap:
    """A fitted map.

    Attributes:
        weights: the cells' spectra, float32 or float64, shape [cells, npix].
        shape: (rows, columns); cell ``k`` is at row ``k // columns``, column ``k % columns``.
        wrap: whether rows and columns close on themselves.
        loss: mean distance of the spectra from their best cells, before each pass, shape [passes].
        seed: of the fit; None where unknown.
        grid: name of the wavelength grid; None where unknown.
    """

    weights: NDArray[np.floating]
    shape: Shape
    wrap: Wrap = (True, True)
    loss: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    seed: int | None = None
    grid: str | None = None

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or len(self.weights) != self.shape[0] * self.shape[1]:
            raise ConfigError(
                f"som.shape {self.shape[0]}x{self.shape[1]} does not fit weights of shape "
                f"{list(self.weights.shape)}, which should be [rows * columns, pixels]"
            )

    @property
    def cells(self) -> int:
        """Number of cells, occupied or not."""
        return len(self.weights)

    @cached_property
    def separations(self) -> NDArray[np.float64]:
        """Distances between cells on the map, shape [cells, cells], in cells."""
        return separations(self.shape, self.wrap)

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 over weights, shape and wrap: what best cells are keyed by."""
        return som_files.fingerprint(self.weights, self.shape, self.wrap)

    def u_matrix(self) -> NDArray[np.float64]:
        """Mean distance of each cell's spectrum from its neighbours', shape [rows, columns]."""
        return u_matrix(self.weights, self.shape, self.wrap)

    def find_bmu(self, x: NDArray[np.floating]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The best matching cell of each spectrum: least squared distance, first cell on ties.

        Args:
            x: spectra on the map's grid, shape [n, npix].

        Returns:
            Cells, int32 [n], and distances from them, float32 [n]; −1 and NaN for a spectrum
            with pixels that are not finite.
        """
        self._check_pixels(x)
        return _best_cells(x, self.weights)

    def quantization_error(self, x: NDArray[np.floating]) -> float:
        """Mean distance of spectra [n, npix] from their best cells; unusable ones are left out."""
        return float(np.nanmean(self.find_bmu(x)[1], dtype=np.float64))

    def topographic_error(self, x: NDArray[np.floating]) -> float:
        """Share of spectra [n, npix] whose best two cells do not touch (Kiviluoto 1996)."""
        self._check_pixels(x)
        apart = usable = 0
        weights = np.asarray(self.weights, np.float64)
        norms = np.einsum("ij,ij->i", weights, weights)
        for rows in _chunks(len(x), self.cells):
            chunk = np.asarray(x[rows], np.float64)
            chunk = chunk[np.isfinite(chunk).all(axis=1)]
            # |x|² is the same for all cells and does not change their order.
            distance = norms - 2 * chunk @ weights.T
            first = distance.argmin(axis=1)
            distance[np.arange(len(chunk)), first] = np.inf
            apart += int((self.separations[first, distance.argmin(axis=1)] > ADJACENT).sum())
            usable += len(chunk)
        return apart / usable if usable else float("nan")

    @classmethod
    def fit(
        cls,
        x: NDArray[np.floating],
        shape: Shape,
        *,
        seed: int,
        epochs: int = 40,
        wrap: Wrap = (True, True),
        grid: str | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> "SelfOrganizingMap":
        """Fit a map by batch updates.

        In each pass every cell becomes the mean of all spectra, weighted by a Gaussian of the
        separation between it and their best cells, whose width shrinks geometrically from half
        the mean separation to half a cell. The result follows from ``x``, ``shape``, ``wrap``,
        ``seed`` and ``epochs``; the order of the spectra changes its last bits only.

        Args:
            x: spectra, shape [n, npix]; a seeded sample of the pool is enough.
            shape: (rows, columns).
            epochs: passes over the spectra.
            grid: name of their wavelength grid, kept with the map.
            progress: called after each pass with its number from 0 and its loss.

        Raises:
            ConfigError: ``shape`` or ``epochs`` below 1.
            InputError: no spectra, or spectra with pixels that are not finite.
        """
        if min(*shape, epochs) < 1:
            raise ConfigError(
                f"som.shape {shape[0]}x{shape[1]} and som.epochs {epochs} must be at least 1"
            )
        mean, std = _moments(x)
        distances = separations(shape, wrap)
        widest = max(0.5 * float(distances.mean()), NARROWEST)
        random = np.random.default_rng(seed)
        noise = random.standard_normal((len(distances), x.shape[1]))
        weights = mean + std * noise
        loss = np.empty(epochs)
        for i in range(epochs):
            bmu, distance = _best_cells(x, weights)
            loss[i] = distance.mean(dtype=np.float64)
            width = widest * (NARROWEST / widest) ** (i / max(epochs - 1, 1))
            near = np.exp(-0.5 * (distances / width) ** 2)
            count = near @ np.bincount(bmu, minlength=len(weights))
            # A cell so far from all spectra that the Gaussian has underflowed stays as it is.
            moved = count > 1e-100
            weights[moved] = near[moved] @ _sums(x, bmu, len(weights)) / count[moved, None]
            if progress is not None:
                progress(i, float(loss[i]))
        return cls(weights.astype(np.float32), shape, wrap, loss, seed, grid)

    def save(self, folder: Path) -> None:
        """Write SOMVIZ's ``weights.npy`` and ``loss.npy``, and ``som.json`` beside them."""
        som_files.write(
            folder,
            self.weights,
            self.loss,
            shape=self.shape,
            wrap=self.wrap,
            seed=self.seed,
            grid=self.grid,
        )

    @classmethod
    def load(
        cls, folder: Path, shape: Shape | None = None, wrap: Wrap | None = None
    ) -> "SelfOrganizingMap":
        """Read a map of ours or a bare SOMVIZ folder.

        Args:
            folder: holds ``weights.npy``, for maps of ours ``som.json``, and maybe ``loss.npy``.
            shape: (rows, columns) of a SOMVIZ map, whose files do not say it; square if absent.
            wrap: likewise; a torus if absent.

        Raises:
            InputError: a file is missing, unreadable, or not what ``som.json`` describes, or the
                shape is neither given nor the square it is taken for.
        """
        return cls(**som_files.read(folder, shape, wrap))

    def _check_pixels(self, x: NDArray[Any]) -> None:
        if x.ndim != 2 or x.shape[1] != self.weights.shape[1]:
            raise InputError(
                f"spectra of shape {list(x.shape)} do not lie on the map's grid "
                f"{self.grid or ''} of {self.weights.shape[1]} pixels"
            )


def _chunks(n: int, cells: int) -> list[slice]:
    step = max(1, CHUNK_BYTES // (4 * cells))
    return [slice(low, min(low + step, n)) for low in range(0, n, step)]


def _moments(x: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each pixel, of spectra that are all finite."""
    if x.ndim != 2 or not x.size:
        raise InputError(f"a map needs spectra of shape [n, pixels], not {list(x.shape)}")
    bad, total, squares = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for rows in _chunks(len(x), x.shape[1]):
        bad += int((~np.isfinite(x[rows]).all(axis=1)).sum())
        total += x[rows].sum(axis=0, dtype=np.float64)
        squares += np.einsum("ij,ij->j", x[rows], x[rows], dtype=np.float64)
    if bad:
        raise InputError(
            f"{bad} of {len(x)} spectra have pixels that are not finite; leave them out of the fit"
        )
    mean = total / len(x)
    return mean, np.sqrt(np.maximum(squares / len(x) - mean**2, 0.0))


def _sums(x: NDArray[np.floating], bmu: NDArray[np.int32], cells: int) -> NDArray[np.float64]:
    """Sum of the spectra of each cell, shape [cells, npix]."""
    sums = np.zeros((cells, x.shape[1]))
    for rows in _chunks(len(x), x.shape[1]):
        order = np.argsort(bmu[rows], kind="stable")
        occupied, starts = np.unique(bmu[rows][order], return_index=True)
        sums[occupied] += np.add.reduceat(x[rows][order], starts, axis=0, dtype=np.float64)
    return sums


def _best_cells(
    x: NDArray[np.floating], weights: NDArray[np.floating]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Best cells by one float32 product a chunk; what it cannot tell apart, float64 decides."""
    bmu, distance = np.full(len(x), -1, np.int32), np.full(len(x), np.nan, np.float32)
    single = np.ascontiguousarray(weights.T, np.float32)
    norms = np.einsum("ij,ij->i", weights, weights, dtype=np.float64)
    # Rounding of a dot product of n terms is at most n/2 ulp of |x||w| (Higham 2002, eq. 3.5);
    # the product is doubled, both sides of a comparison may err, and inputs are rounded as well.
    slack = 4 * (weights.shape[1] + 8) * np.finfo(np.float32).eps / 2
    for rows in _chunks(len(x), len(weights)):
        chunk = np.asarray(x[rows])
        finite = np.isfinite(chunk).all(axis=1)
        chunk = chunk[finite]
        with np.errstate(over="ignore", invalid="ignore"):
            product = chunk.astype(np.float32) @ single
            product *= -2
            product += norms.astype(np.float32)
            lengths = np.sqrt(np.einsum("ij,ij->i", chunk, chunk, dtype=np.float64))
            longest = np.sqrt(norms.max())
            reach = product.min(axis=1) + slack * longest * (lengths + longest)
            # Written so that NaN, from numbers beyond float32, makes a cell a candidate.
            spectrum, cell = np.nonzero(~(product > reach[:, None].astype(np.float32)))
        squared = _squared_distances(chunk, weights, spectrum, cell)
        starts = np.searchsorted(spectrum, np.arange(len(chunk)))
        if len(starts):
            least = np.minimum.reduceat(squared, starts)
            winner = np.flatnonzero(squared == least[spectrum])
            winner = winner[np.searchsorted(spectrum[winner], np.arange(len(chunk)))]
            where = np.flatnonzero(finite) + rows.start
            bmu[where], distance[where] = cell[winner], np.sqrt(least)
    return bmu, distance


def _squared_distances(
    x: NDArray[np.floating],
    weights: NDArray[np.floating],
    spectrum: NDArray[Any],
    cell: NDArray[Any],
) -> NDArray[np.float64]:
    """Squared distances of pairs of a spectrum and a cell, in float64, shape [pairs]."""
    squared = np.empty(len(spectrum))
    for pairs in _chunks(len(spectrum), x.shape[1]):
        difference = np.subtract(x[spectrum[pairs]], weights[cell[pairs]], dtype=np.float64)
        squared[pairs] = np.einsum("ij,ij->i", difference, difference)
    return squared
