"""BMUs and fits of SOMs by SOMVIZ and by qnal, side by side.

Command: python experiments/benchmarks/som.py [--quick] [--spectra N] [--seeds N]
Source:  the package SOMVIZ if it is installed, else its algorithm as restated below
Cost:    20 minutes on 2 cores, nearly all of it SOMVIZ's fit of the large SOM; --quick 40 seconds
Expect:  the same BMUs, 100 to 200 times as fast (1000 times compared with SOMVIZ's first call,
         which also allocates its memory); the large SOM fitted 50 times as fast, with lower
         quantization and topographic errors
"""

import contextlib
import io
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe, gemm_limit, ratio, side_by_side

from qnal.som.som import SelfOrganizingMap
from qnal.som.topology import separations
from qnal.spectra.grid import named_grid
from qnal.spectra.mock import MockConfig, write_survey
from qnal.spectra.readers.desi import find_coadds, read_coadd
from qnal.spectra.rebin import Status

LARGE = (45, 45)
REAL = Path(__file__).resolve().parents[2] / "../shared/data/golden/quasarnp_boss.npz"
HELD_OUT = 4000
PASSES, SHARE, ETA = 200, 0.1, 0.001  # settings of the active-learning scripts


class Somviz:
    """SOMVIZ's fit and search for BMUs, restated."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._separations = separations(shape)
        self._weights = np.empty((0, 0))

    def fit(self, data: np.ndarray, maxiter: int, eta: float, seed: int) -> None:
        """Online updates with a decaying learning rate."""
        rng = np.random.RandomState(seed)
        size = round(SHARE * len(data))
        sigma = np.std(data, axis=0, keepdims=True).T
        self._weights = sigma * rng.normal(size=(data.shape[1], len(self._separations)))
        large_scale = np.mean(self._separations)
        for i in range(maxiter):
            rate, width = eta ** (i / maxiter), 0.5 * large_scale ** (1 - i / maxiter)
            for x in data[rng.choice(len(data), size)]:
                dx = x.reshape(-1, 1) - self._weights
                bmu = np.argmin(np.sum(dx**2, axis=0))
                near = np.exp(-0.5 * (self._separations[bmu] / width) ** 2)
                self._weights += rate * near * dx

    def find_bmu(self, data: np.ndarray, batchsize: int = 1024) -> np.ndarray:
        """BMUs from one array of all differences."""
        bmu = np.empty(len(data), int)
        size = min(len(data), batchsize)
        buffer = np.empty((size, *self._weights.shape), self._weights.dtype)
        for low in range(0, len(data), batchsize):
            rows = data[low : low + batchsize]
            buffer[: len(rows)] = rows[:, :, np.newaxis]
            buffer -= self._weights
            buffer = np.power(buffer, 2, out=buffer)
            bmu[low : low + len(rows)] = np.argmin(np.sum(buffer, axis=1)[: len(rows)], axis=1)
        return bmu


def peer(shape: tuple[int, int]) -> Any:
    """An empty SOM of SOMVIZ on a torus."""
    try:
        from somviz import som
    except ImportError:
        return Somviz(shape)
    return som.SelfOrganizingMap(som.Grid(-shape[0], -shape[1]))


def mock_spectra(n: int) -> np.ndarray:
    """Spectra of the mock survey, read from its files, float32 [n, npix]."""
    grid, found = named_grid("log"), []
    with tempfile.TemporaryDirectory() as folder:
        survey = write_survey(MockConfig(labelled=0, boss=0, pool=n + 500), Path(folder))
        for file in find_coadds(str(survey.pool), "the mock survey"):
            coadd = read_coadd(file, grid, use_mask=True)
            found.append(coadd.x[np.asarray(coadd.table["STATUS"]) == Status.OK])
    shuffled = np.random.default_rng(0).permutation(np.concatenate(found))
    return shuffled[:n].astype(np.float32)


def find_bmus(x: np.ndarray, shape: tuple[int, int], repeats: int) -> None:
    """Compare BMUs and times on 1,024 spectra, the size of SOMVIZ's batches."""
    fitted = SelfOrganizingMap.fit(x, shape, seed=1, epochs=10)
    somviz = peer(shape)
    somviz._weights = np.ascontiguousarray(fitted.weights.T, np.float64)
    some = x[:1024]
    predictions: dict[str, np.ndarray] = {}

    def keep(name: str, find: Callable[[], np.ndarray]) -> Callable[[], None]:
        return lambda: predictions.update({name: find()})

    search_with_somviz = keep("SOMVIZ", lambda: somviz.find_bmu(some.astype(np.float64)))
    start = time.perf_counter()
    search_with_somviz()  # allocates the array of all differences, 7.4 GB
    first = time.perf_counter() - start
    seconds = side_by_side(
        {
            "SOMVIZ": search_with_somviz,
            "qnal": keep("qnal", lambda: fitted.find_bmu(some)[0]),
            "qnal, all": lambda: fitted.find_bmu(x),
        },
        repeats,
    )
    flop = 2 * fitted.weights.size
    limits = {"TensorFlow's": gemm_limit("float32"), "numpy's": _numpy_limit(x, fitted.weights)}
    print(f"\nBMUs, {shape[0]}x{shape[1]} SOM, {len(some)} spectra")
    for name, n in (("SOMVIZ", len(some)), ("qnal", len(some)), ("qnal, all", len(x))):
        rate = n / min(seconds[name])
        shares = (f"{rate * flop / limit:5.1%} of {who}" for who, limit in limits.items())
        print(f"  {name:10s} {rate:10,.0f} spectra/s   {', '.join(shares)} float32 GEMM limit")
    print(f"  SOMVIZ's first call {len(some) / first:,.0f} spectra/s")
    print("  ratio {:.0f} ({:.0f} to {:.0f})".format(*ratio(seconds, "SOMVIZ", "qnal")), end="; ")
    differ = np.flatnonzero(predictions["SOMVIZ"] != predictions["qnal"])
    distance = [_distance(some, fitted, predictions[name], differ) for name in ("SOMVIZ", "qnal")]
    ties = np.isclose(*distance, rtol=1e-12).sum()
    print(f"{len(differ)} BMUs differ, {ties} of them ties in float64")


def fits(
    x: np.ndarray, held: np.ndarray | None, shape: tuple[int, int], seeds: int, what: str
) -> None:
    """Compare times and errors of complete fits, for several seeds."""
    print(f"\nfits of a {shape[0]}x{shape[1]} torus to {len(x):,} {what}")
    both = "" if held is None else "  the same, held out"
    print(f"  seed  package  seconds  quantization  topographic{both}")
    spectra = [x] if held is None else [x, held]
    ratios = []
    for seed in range(1, seeds + 1):
        seconds = {}
        for name, fit in (("SOMVIZ", _fit_with_somviz), ("qnal", _fit_with_qnal)):
            start = time.perf_counter()
            fitted = fit(x, shape, seed)
            seconds[name] = time.perf_counter() - start
            errors = [
                f"{fitted.quantization_error(s):10.2f}  {fitted.topographic_error(s):12.4f}"
                for s in spectra
            ]
            print(f"  {seed:4d}  {name:7s} {seconds[name]:8.2f}  {'  '.join(errors)}", flush=True)
        ratios.append(seconds["SOMVIZ"] / seconds["qnal"])
    print(f"  ratio {np.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f})")


def _fit_with_somviz(x: np.ndarray, shape: tuple[int, int], seed: int) -> SelfOrganizingMap:
    som = peer(shape)
    with contextlib.redirect_stdout(io.StringIO()):  # SOMVIZ prints one line per pass
        som.fit(x.astype(np.float64), maxiter=PASSES, eta=ETA, seed=seed)
    return SelfOrganizingMap(som._weights.T, shape)


def _fit_with_qnal(x: np.ndarray, shape: tuple[int, int], seed: int) -> SelfOrganizingMap:
    return SelfOrganizingMap.fit(x, shape, seed=seed)


def _distance(
    x: np.ndarray, som: SelfOrganizingMap, bmu: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    difference = x[rows].astype(np.float64) - som.weights[bmu[rows]]
    return np.asarray(np.sqrt((difference**2).sum(axis=1)))


def _numpy_limit(x: np.ndarray, weights: np.ndarray) -> float:
    """FLOP/s of numpy's matrix product at this size."""
    some, cells = x[:2048], np.ascontiguousarray(weights.T)
    out = np.empty((len(some), cells.shape[1]), np.float32)
    seconds = side_by_side({"": lambda: np.matmul(some, cells, out=out)}, repeats=10)
    return float(2 * some.size * len(weights) / min(seconds[""]))


def main() -> None:
    """Print the tables."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small SOMs, one seed")
    parser.add_argument(
        "--spectra", type=int, default=20_000, help="spectra to fit the large SOM to"
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of fits of the large SOM")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    origin = type(peer((2, 2))).__module__
    print(f"{describe()}; SOMVIZ: {'its package' if origin.startswith('somviz') else 'restated'}")
    spectra, held = (1500, 500) if options.quick else (options.spectra, HELD_OUT)
    x = mock_spectra(spectra + held)
    x, held_out = x[:spectra], x[spectra:]
    find_bmus(x, (20, 20) if options.quick else LARGE, repeats=2)
    if REAL.exists():
        fits(np.load(REAL)["X"], None, (6, 7), 1 if options.quick else 5, "real BOSS spectra")
    if options.quick:
        fits(x, held_out, (12, 12), 1, "mock spectra")
        return
    fits(x[:6000], held_out, (12, 12), 2, "mock spectra")
    fits(x, held_out, LARGE, options.seeds, "mock spectra")


if __name__ == "__main__":
    main()
