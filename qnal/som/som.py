"""The self-organising map: a frozen chart of what spectra there are.

Kohonen's map in its batch form (Kohonen 1995, *Self-Organizing Maps*, sec. 3.6), with the grid,
the answers and the files of SOMVIZ.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import ConfigError, InputError
from qnal.som import batch_fit, files
from qnal.som.bmu import find_bmus, find_two_bmus
from qnal.som.cell_statistics import CellStatistics
from qnal.som.topology import ADJACENT, Shape, Wrap, separations, u_matrix


@dataclass(frozen=True, eq=False)
class SelfOrganizingMap:
    """A fitted map.

    Attributes:
        weights: the cells' spectra, float32 or float64, shape [cells, npix].
        shape: (rows, columns); cell ``k`` is at row ``k // columns``, column ``k % columns``.
        wrap: whether rows and columns close on themselves.
        loss: mean distance of the spectra of each pass from their best cells, shape [passes].
        seed: of the fit; None where unknown.
        grid: name of the wavelength grid; None where unknown.
        statistics: how the spectra that it was fitted on lie on it; None where unknown.
    """

    weights: NDArray[np.floating]
    shape: Shape
    wrap: Wrap = (True, True)
    loss: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    seed: int | None = None
    grid: str | None = None
    statistics: CellStatistics | None = None

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
        return files.fingerprint(self.weights, self.shape, self.wrap)

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
        return find_bmus(x, self.weights)

    def quantization_error(self, x: NDArray[np.floating]) -> float:
        """Mean distance of spectra [n, npix] from their best cells; unusable ones are left out."""
        return float(np.nanmean(self.find_bmu(x)[1], dtype=np.float64))

    def topographic_error(self, x: NDArray[np.floating]) -> float:
        """Share of spectra [n, npix] whose best two cells do not touch (Kiviluoto 1996)."""
        self._check_pixels(x)
        usable = np.isfinite(x).all(axis=1)
        first, second = find_two_bmus(x if usable.all() else x[usable], self.weights)
        apart = self.separations[first, second] > ADJACENT
        return float(apart.mean()) if len(apart) else float("nan")

    def outlier_score(
        self, bmu: NDArray[np.int32], distance: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """How far from its best cell each spectrum lies, against what is usual for the cell.

        Args:
            bmu: best cells, int32 [n]; ``distance`` from them likewise, as of ``find_bmu``.

        Returns:
            Robust standard deviations, float32 [n] (:class:`CellStatistics`); NaN without a BMU,
            and all NaN for a map that does not know the spectra it was fitted on.
        """
        if self.statistics is None:
            return np.full(len(bmu), np.nan, np.float32)
        return self.statistics.outlier_score(bmu, distance)

    def with_statistics(self, x: NDArray[np.floating]) -> "SelfOrganizingMap":
        """The same map, with how the spectra [n, npix] that it was fitted on lie on it."""
        bmu, distance = self.find_bmu(x)
        statistics = CellStatistics.of(bmu, distance, self.cells, self.topographic_error(x))
        return replace(self, statistics=statistics)

    @classmethod
    def fit(
        cls,
        x: NDArray[np.floating],
        shape: Shape,
        *,
        seed: int,
        epochs: int = 100,
        wrap: Wrap = (True, True),
        grid: str | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> "SelfOrganizingMap":
        """Fit a map by batch updates (:mod:`qnal.som.batch_fit`).

        The result follows from ``x`` in its order, ``shape``, ``wrap``, ``seed`` and ``epochs``.

        Args:
            x: spectra, shape [n, npix]; a seeded sample of the pool is enough.
            shape: (rows, columns).
            epochs: passes over the spectra, most of them over a part.
            grid: name of their wavelength grid, kept with the map.
            progress: called after each pass with its number from 0 and its loss.

        Raises:
            ConfigError: ``shape`` or ``epochs`` below 1.
            InputError: no spectra, or spectra with pixels that are not finite.
        """
        weights, loss = batch_fit.fit(x, shape, wrap, seed=seed, epochs=epochs, progress=progress)
        return cls(weights.astype(np.float32), shape, wrap, loss, seed, grid)

    def save(self, folder: Path) -> None:
        """Write ``weights.npy``, ``loss.npy``, ``cell_statistics.npz`` and ``som.json``."""
        files.write(
            folder,
            self.weights,
            self.loss,
            shape=self.shape,
            wrap=self.wrap,
            seed=self.seed,
            grid=self.grid,
            statistics=self.statistics,
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
        return cls(**files.read(folder, shape, wrap))

    def _check_pixels(self, x: NDArray[Any]) -> None:
        if x.ndim != 2 or x.shape[1] != self.weights.shape[1]:
            raise InputError(
                f"spectra of shape {list(x.shape)} do not lie on the map's grid "
                f"{self.grid or ''} of {self.weights.shape[1]} pixels"
            )
