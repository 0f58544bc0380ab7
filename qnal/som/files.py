"""A map on disk: SOMVIZ's ``weights.npy`` and ``loss.npy``, beside them what is ours.

``som.json`` describes the weights. ``cell_statistics.npz`` describes how the spectra that the SOM
was fitted on are distributed over its cells; it is absent for SOMs of SOMVIZ.
"""

import hashlib
import json
import zipfile
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


def fingerprint(weights: NDArray[Any], shape: Shape, wrap: Wrap) -> str:
    """Hexadecimal SHA-256 over the bytes of the weights, the shape and the wrap."""
    digest = hashlib.sha256(np.ascontiguousarray(weights).tobytes())
    digest.update(json.dumps([list(map(int, shape)), list(map(bool, wrap))]).encode())
    return digest.hexdigest()


def write(
    folder: Path,
    weights: NDArray[Any],
    loss: NDArray[Any],
    *,
    shape: Shape,
    wrap: Wrap,
    seed: int | None,
    grid: str | None,
    statistics: CellStatistics | None,
) -> None:
    """Write a map to ``folder``, ``som.json`` last: where it is, the map is whole."""
    for name, array in (("weights.npy", weights), ("loss.npy", loss)):
        with written_aside(folder / name) as scratch, scratch.open("wb") as file:
            np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    (folder / "cell_statistics.npz").unlink(missing_ok=True)
    if statistics is not None:
        with written_aside(folder / "cell_statistics.npz") as scratch, scratch.open("wb") as file:
            np.savez(file, **vars(statistics))
    about = {
        "format_version": FORMAT_VERSION,
        "shape": list(map(int, shape)),
        "wrap": list(map(bool, wrap)),
        "seed": seed,
        "grid": grid,
        "fingerprint": fingerprint(weights, shape, wrap),
        "cell_statistics": None if statistics is None else statistics.fingerprint,
    }
    write_text(folder / "som.json", json.dumps(about, indent=2) + "\n")


def read(folder: Path, shape: Shape | None, wrap: Wrap | None) -> dict[str, Any]:
    """The arguments of ``SelfOrganizingMap`` from a folder of ours or of SOMVIZ."""
    weights = _array(folder / "weights.npy", ndim=2)
    loss_file = folder / "loss.npy"
    loss = _array(loss_file, ndim=1).astype(np.float64) if loss_file.exists() else np.empty(0)
    if not (folder / "som.json").exists():
        shape = shape or _square(folder / "weights.npy", len(weights))
        _check_cells(folder / "weights.npy", weights, shape)
        return {"weights": weights, "shape": shape, "wrap": wrap or (True, True), "loss": loss}
    about = _about(folder / "som.json")
    for name, given in (("shape", shape), ("wrap", wrap)):
        if given is not None and tuple(given) != about[name]:
            raise InputError(
                f"{folder / 'som.json'}: the map's {name} is {about[name]}, not {tuple(given)}"
            )
    _check_cells(folder / "som.json", weights, about["shape"])
    if fingerprint(weights, about["shape"], about["wrap"]) != about["fingerprint"]:
        raise InputError(
            f"{folder / 'weights.npy'}: the weights are not those that som.json was written for; "
            "restore or refit the map"
        )
    statistics = None
    if about["cell_statistics"] is not None:
        statistics = _statistics(
            folder / "cell_statistics.npz", len(weights), about["cell_statistics"]
        )
    names = ("shape", "wrap", "seed", "grid")
    known = {name: about[name] for name in names}
    return {"weights": weights, "loss": loss, "statistics": statistics} | known


def _array(path: Path, ndim: int) -> NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; a map is a folder with weights.npy") from None
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not an array of numbers written by numpy ({error})") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.ndim != ndim:
        raise InputError(f"{path}: should hold a {ndim}-dimensional array of real numbers")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: holds numbers that are not finite")
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
            f"{path}: not the numbers of a map's cells ({error}); restore or refit the map"
        ) from error
    if statistics.fingerprint != fingerprint or statistics.count.shape != (cells,):
        raise InputError(
            f"{path}: the numbers are not those that som.json was written for; "
            "restore or refit the map"
        )
    return statistics


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text())
        version = about["format_version"]
        if version != FORMAT_VERSION:
            raise InputError(
                f"{path}: format version {version}; this qnal reads version {FORMAT_VERSION}"
            )
        rows, columns = map(int, about["shape"])
        round_rows, round_columns = map(bool, about["wrap"])
        known = {"seed": about["seed"], "grid": about["grid"], "fingerprint": about["fingerprint"]}
        known["cell_statistics"] = about.get("cell_statistics")  # maps of earlier versions lack it
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the description of a map ({error!r})") from error
    return known | {"shape": (rows, columns), "wrap": (round_rows, round_columns)}


def _square(path: Path, cells: int) -> Shape:
    side = isqrt(cells)
    if side * side != cells:
        raise InputError(
            f"{path}: {cells} cells are not a square map and there is no som.json; "
            "give som.shape as (rows, columns)"
        )
    return side, side


def _check_cells(path: Path, weights: NDArray[Any], shape: Shape) -> None:
    if shape[0] * shape[1] != len(weights):
        raise InputError(
            f"{path}: {len(weights)} cells are not the {shape[0]}x{shape[1]} of the map's shape"
        )
