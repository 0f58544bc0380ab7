"""The self-organizing map (SOM).

A SOM is a rectangular arrangement of cells, each with a prototype spectrum, in which neighbouring
cells have similar prototypes. The best-matching unit (BMU) of a spectrum is the cell whose
prototype is closest to it. See Kohonen 1995, *Self-Organizing Maps*. Topology, BMUs and files agree
with those of the package SOMVIZ, which the QuasarNET active-learning scripts use.
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
    """A fitted SOM.

    Attributes:
        weights: prototype spectra of the cells, float32 or float64, shape [cells, npix].
        shape: (rows, columns); cell ``k`` is at row ``k // columns``, column ``k % columns``.
        wrap: whether the rows and the columns are periodic (both: a torus).
        loss: mean distance of the spectra from their BMUs in each pass of the fit, shape [passes].
        seed: seed of the fit; None if unknown.
        grid: name of the wavelength grid; None if unknown.
        statistics: distribution over the cells of the spectra that the SOM was fitted on; None if
            unknown.
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
                f"{list(self.weights.shape)}, which should be [rows * columns, pixels]."
            )

    @property
    def cells(self) -> int:
        """Number of cells, including empty ones."""
        return len(self.weights)

    @cached_property
    def separations(self) -> NDArray[np.float64]:
        """Distances between the positions of all cells, shape [cells, cells], in cells."""
        return separations(self.shape, self.wrap)

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of weights, shape and wrap, which determine the BMUs."""
        return files.fingerprint(self.weights, self.shape, self.wrap)

    def u_matrix(self) -> NDArray[np.float64]:
        """Mean distance between the prototypes of neighbouring cells, shape [rows, columns]."""
        return u_matrix(self.weights, self.shape, self.wrap)

    def find_bmu(self, x: NDArray[np.floating]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Find the BMU of each spectrum; of equally close cells, the first one.

        Args:
            x: spectra on the SOM's grid, shape [n, npix].

        Returns:
            BMUs, int32 [n], and distances from them, float32 [n]; −1 and NaN for a spectrum with
            pixels that are not finite.

        Raises:
            InputError: the number of pixels differs from the SOM's.
        """
        self._check_pixels(x)
        return find_bmus(x, self.weights)

    def quantization_error(self, x: NDArray[np.floating]) -> float:
        """Mean distance of spectra [n, npix] from their BMUs, without non-finite spectra."""
        return float(np.nanmean(self.find_bmu(x)[1], dtype=np.float64))

    def topographic_error(self, x: NDArray[np.floating]) -> float:
        """Fraction of spectra [n, npix] whose two closest cells are not adjacent.

        Source: Kiviluoto 1996.
        """
        self._check_pixels(x)
        usable = np.isfinite(x).all(axis=1)
        first, second = find_two_bmus(x if usable.all() else x[usable], self.weights)
        apart = self.separations[first, second] > ADJACENT
        return float(apart.mean()) if len(apart) else float("nan")

    def outlier_score(
        self, bmu: NDArray[np.int32], distance: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Distances from the BMU relative to those that are usual for the cell.

        Args:
            bmu: BMUs as returned by :meth:`find_bmu`, int32 [n].
            distance: distances from them, float32 [n].

        Returns:
            Robust standard deviations, float32 [n]
            (:meth:`~qnal.som.cell_statistics.CellStatistics.outlier_score`); NaN for a SOM without
            ``statistics``.
        """
        if self.statistics is None:
            return np.full(len(bmu), np.nan, np.float32)
        return self.statistics.outlier_score(bmu, distance)

    def with_statistics(self, x: NDArray[np.floating]) -> "SelfOrganizingMap":
        """The same SOM with the statistics of the spectra [n, npix] that it was fitted on."""
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
        """Fit a SOM by batch updates (:mod:`qnal.som.batch_fit`).

        The result is determined by ``x`` (including its order), ``shape``, ``wrap``, ``seed`` and
        ``epochs``.

        Args:
            x: spectra, shape [n, npix].
            shape: (rows, columns).
            seed: seed of the initial weights and of the subsamples.
            epochs: number of passes; most of them use a subsample of the spectra.
            wrap: whether the rows and the columns are periodic.
            grid: name of the spectra's wavelength grid, stored with the SOM.
            progress: called after each pass with its index and its loss.

        Raises:
            ConfigError: ``shape`` or ``epochs`` is below 1.
            InputError: there are no spectra, or some have pixels that are not finite.
        """
        weights, loss = batch_fit.fit(x, shape, wrap, seed=seed, epochs=epochs, progress=progress)
        return cls(weights.astype(np.float32), shape, wrap, loss, seed, grid)

    def save(self, folder: Path) -> None:
        """Write ``weights.npy``, ``loss.npy``, ``cell_statistics.npz`` and ``som.json``."""
        description = files.SomDescription(
            self.shape,
            self.wrap,
            self.seed,
            self.grid,
            self.fingerprint,
            None if self.statistics is None else self.statistics.fingerprint,
        )
        files.write(folder, description, self.weights, self.loss, self.statistics)

    @classmethod
    def load(
        cls, folder: Path, shape: Shape | None = None, wrap: Wrap | None = None
    ) -> "SelfOrganizingMap":
        """Read a SOM written by :meth:`save`, or a folder written by SOMVIZ.

        Args:
            folder: folder with ``weights.npy`` and optionally the other files of :meth:`save`.
            shape: (rows, columns) of a SOM of SOMVIZ, which does not store it; square by default.
            wrap: whether its rows and columns are periodic; both by default.

        Raises:
            InputError: a file is missing, unreadable or inconsistent with ``som.json``, or
                ``shape`` does not fit.
        """
        stored = files.read(folder, shape, wrap)
        about = stored.description
        return cls(
            stored.weights,
            about.shape,
            about.wrap,
            stored.loss,
            about.seed,
            about.grid,
            stored.statistics,
        )

    def _check_pixels(self, x: NDArray[Any]) -> None:
        if x.ndim != 2 or x.shape[1] != self.weights.shape[1]:
            grid = "" if self.grid is None else f" ({self.grid} grid)"
            raise InputError(
                f"the SOM takes spectra of {self.weights.shape[1]} pixels{grid}, not an array of "
                f"shape {list(x.shape)}."
            )
