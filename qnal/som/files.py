"""Files of a SOM.

``weights.npy`` and ``loss.npy`` have SOMVIZ's format. ``som.json`` describes the weights.
``cell_statistics.npz`` holds the distribution of the fitted spectra over the cells. The last two
are absent from folders written by SOMVIZ.
"""

import hashlib
import json
import zipfile
from dataclasses import asdict, dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.files import write_text, written_aside
from qnal.som.cell_statistics import CellStatistics
from qnal.som.topology import Shape, Wrap

FORMAT_VERSION = 1


@dataclass(frozen=True)
class SomDescription:
    """Content of ``som.json``.

    Attributes:
        shape: (rows, columns).
        wrap: whether the rows and the columns are periodic.
        seed: seed of the fit; None if unknown.
        grid: name of the wavelength grid; None if unknown.
        fingerprint: see :func:`fingerprint`; None for SOMs of SOMVIZ.
        cell_statistics: fingerprint of the cell statistics; None if there are none.
    """

    shape: Shape
    wrap: Wrap
    seed: int | None = None
    grid: str | None = None
    fingerprint: str | None = None
    cell_statistics: str | None = None

    def write(self, path: Path) -> None:
        """Write ``som.json``."""
        document = {"format_version": FORMAT_VERSION} | asdict(self)
        write_text(path, json.dumps(document, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> "SomDescription":
        """Read ``som.json``; InputError if it is not one of this format version."""
        try:
            about = json.loads(path.read_text())
            if about["format_version"] != FORMAT_VERSION:
                raise InputError(
                    f"{path}: format version {about['format_version']} cannot be read, only "
                    f"{FORMAT_VERSION}; fit the SOM again with stage=som."
                )
            rows, columns = map(int, about["shape"])
            wrap_rows, wrap_columns = map(bool, about["wrap"])
            rest = (about["seed"], about["grid"], about["fingerprint"], about["cell_statistics"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is not the description of a SOM ({error!r}).") from error
        return cls((rows, columns), (wrap_rows, wrap_columns), *rest)


@dataclass(frozen=True, eq=False)
class StoredSom:
    """Content of a SOM's folder; see :class:`~qnal.som.som.SelfOrganizingMap`."""

    description: SomDescription
    weights: NDArray[Any]
    loss: NDArray[np.float64]
    statistics: CellStatistics | None = None


def fingerprint(weights: NDArray[Any], shape: Shape, wrap: Wrap) -> str:
    """Hexadecimal SHA-256 of the bytes of the weights, the shape and the wrap."""
    digest = hashlib.sha256(np.ascontiguousarray(weights).tobytes())
    digest.update(json.dumps([list(map(int, shape)), list(map(bool, wrap))]).encode())
    return digest.hexdigest()


def write(
    folder: Path,
    description: SomDescription,
    weights: NDArray[Any],
    loss: NDArray[Any],
    statistics: CellStatistics | None,
) -> None:
    """Write a SOM to ``folder``; ``som.json`` comes last and marks the folder as complete."""
    for name, array in (("weights.npy", weights), ("loss.npy", loss)):
        with written_aside(folder / name) as scratch, scratch.open("wb") as file:
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    (folder / "cell_statistics.npz").unlink(missing_ok=True)
    if statistics is not None:
        with written_aside(folder / "cell_statistics.npz") as scratch, scratch.open("wb") as file:
            np.savez(file, **vars(statistics))
    description.write(folder / "som.json")


def read(folder: Path, shape: Shape | None, wrap: Wrap | None) -> StoredSom:
    """Read a folder written by :func:`write` or by SOMVIZ.

    Args:
        folder: the folder.
        shape: (rows, columns) if there is no ``som.json``; square by default.
        wrap: periodicity if there is no ``som.json``; both axes by default.

    Raises:
        InputError: a file is missing, unreadable or inconsistent with ``som.json`` or ``shape``.
    """
    weights = _array(folder / "weights.npy", ndim=2)
    loss_file = folder / "loss.npy"
    loss = _array(loss_file, ndim=1).astype(np.float64) if loss_file.exists() else np.empty(0)
    path = folder / "som.json"
    if not path.exists():
        shape = shape or _square(folder / "weights.npy", len(weights))
        _check_cells(folder / "weights.npy", weights, shape)
        return StoredSom(SomDescription(shape, wrap or (True, True)), weights, loss)
    about = SomDescription.read(path)
    for name, given in (("shape", shape), ("wrap", wrap)):
        if given is not None and tuple(given) != getattr(about, name):
            raise InputError(f"{path}: {name} is {getattr(about, name)}, not {tuple(given)}.")
    _check_cells(path, weights, about.shape)
    if fingerprint(weights, about.shape, about.wrap) != about.fingerprint:
        raise InputError(
            f"{folder / 'weights.npy'}: does not match the fingerprint in som.json; restore the "
            "file or fit the SOM again with stage=som."
        )
    statistics = None
    if about.cell_statistics is not None:
        statistics = _statistics(
            folder / "cell_statistics.npz", len(weights), about.cell_statistics
        )
    return StoredSom(about, weights, loss, statistics)


def _array(path: Path, ndim: int) -> NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no such file; a SOM is a folder with weights.npy."
        ) from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: is not an array written by numpy ({error}).") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != ndim:
        raise InputError(f"{path}: should hold a {ndim}-dimensional array of real numbers.")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: holds numbers that are not finite.")
    if array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    return np.ascontiguousarray(array)


def _statistics(path: Path, cells: int, fingerprint: str) -> CellStatistics:
    try:
        with np.load(path, allow_pickle=False) as file:
            statistics = CellStatistics(
                file["count"],
                file["centre"],
                file["spread"],
                float(file["quantization_error"]),
                float(file["topographic_error"]),
            )
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: holds no cell statistics ({error}); restore the file or fit the SOM again "
            "with stage=som."
        ) from error
    if statistics.fingerprint != fingerprint or statistics.count.shape != (cells,):
        raise InputError(
            f"{path}: does not match the fingerprint in som.json; restore the file or fit the SOM "
            "again with stage=som."
        )
    return statistics


def _square(path: Path, cells: int) -> Shape:
    side = isqrt(cells)
    if side * side != cells:
        raise InputError(
            f"{path}: {cells} cells are not a square, and there is no som.json; give som.shape."
        )
    return side, side


def _check_cells(path: Path, weights: NDArray[Any], shape: Shape) -> None:
    if shape[0] * shape[1] != len(weights):
        raise InputError(
            f"{path}: {len(weights)} cells do not have the shape {shape[0]}x{shape[1]}."
        )
