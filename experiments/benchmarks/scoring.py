"""Time of stage=infer compared with that of its forward passes alone.

Source:  marginal time from 20 to 60 files of 500 spectra, 20 members
Command: python experiments/benchmarks/scoring.py        (--quick: a run of seconds)
Cost:    5 minutes on 2 cores, 2 GB of disk
Expect:  at most 1.10 times the time of the forward passes

Both use as many processes of one thread as there are cores. The larger pool consists of links to
the files of the smaller one. Members have random weights and run in float32 and in the default
precision; ``infer`` caches their predictions and finds BMUs on a SOM.
"""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from machine import describe
from scoring_memory import link

from qnal.ensemble.folder import EnsembleFolder
from qnal.executors.local import local_workers
from qnal.inference.member_stack import MemberStack
from qnal.inference.members import predictions
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.precision import Precision
from qnal.network.structure import Structure
from qnal.network.weights import write_network
from qnal.spectra.grid import named_grid
from qnal.spectra.mock import write_survey
from qnal.spectra.mock.config import MockConfig
from qnal.spectra.readers.desi import read_coadd
from qnal.spectra.rebin import Status
from qnal.spectra.spectra_file import SpectraFile
from qnal.threads import use_threads


@lru_cache
def _stack(weights: Path, precision: str) -> MemberStack:
    use_threads(1)
    stored = EnsembleFolder(weights).read(QUASARNET_LINES, QUASARNET_BAL_LINES)
    return MemberStack(stored.networks, Precision(precision))


@lru_cache
def _spectra(file: Path) -> np.ndarray:
    coadd = read_coadd(SpectraFile(file.name, file), named_grid("log"))
    return coadd.x[np.asarray(coadd.table["STATUS"]) == Status.OK]


def passes(weights: Path, precision: str, file: Path, compute: bool) -> None:
    """Forward passes of a file that is in memory already; or get ready for them."""
    stack, x = _stack(weights, precision), _spectra(file)
    predictions(stack, x if compute else x[:8])


def forward_alone(weights: Path, precision: str, files: list[Path], repeats: int) -> float:
    """Seconds a file, in processes that have read members and spectra before; the median."""
    workers = local_workers(1)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        seconds = []
        for compute in [False] * 3 + [True] * repeats:
            begin = time.perf_counter()
            tasks = [pool.submit(passes, weights, precision, f, compute) for f in files]
            for task in tasks:
                task.result()
            seconds.append((time.perf_counter() - begin) / len(files))
    return median(seconds[3:])


def infer(root: Path, pool: Path, precision: str, run: int) -> float:
    """Seconds of one job, as a user starts it."""
    command = [sys.executable, "-m", "qnal", "stage=infer", "tracking=none",
               f"ensemble.path={root / 'weights'}", f"som.path={next((root / 'soms').iterdir())}",
               f"data.pool={pool}", f"infer.precision={precision}",
               f"work_dir={root / f'work-{pool.name}-{precision}-{run}'}"]  # fmt: skip
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return time.perf_counter() - begin


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few files and members, one run")
    options = parser.parse_args()
    few, many, rows, members, repeats = (2, 4, 100, 2, 1) if options.quick else (20, 60, 500, 20, 2)
    print(f"{describe()}; {members} members, {few} and {many} files of {rows} spectra\n")
    with TemporaryDirectory() as folder:
        root = Path(folder)
        config = MockConfig(labelled=0, boss=0, pool=few * rows, fibres=rows, petals=1, exposures=1)
        found = sorted(write_survey(config, root / "mock").pool.rglob("coadd-*.fits"))
        pools = [root / f"pool{size}" for size in (few, many)]
        for pool, size in zip(pools, (few, many), strict=True):
            for k in range(size):
                link(found[k % few], pool, k)
        (root / "weights").mkdir()
        structure = Structure(named_grid("log"), QUASARNET_LINES, QUASARNET_BAL_LINES)
        for k in range(members):
            network = structure.initial(np.random.default_rng(k))
            write_network(network, root / "weights" / f"net_{k:02d}.h5")
        som = ["stage=som", "tracking=none", f"data.pool={pools[0]}", f"work_dir={root}",
               "som.epochs=2"]  # fmt: skip
        subprocess.run([sys.executable, "-m", "qnal", *som], check=True, capture_output=True)  # noqa: S603
        print("  precision  infer, s a file  forward passes alone  ratio")
        for precision in ("float32", "auto"):
            alone = forward_alone(root / "weights", precision, found, repeats + 1)
            slopes = []
            for run in range(repeats):
                short, long = (infer(root, pool, precision, run) for pool in pools)
                slopes.append((long - short) / (many - few))
            whole = median(slopes)
            print(f"{precision:>11} {whole:16.3f} {alone:21.3f} {whole / alone:6.2f}")


if __name__ == "__main__":
    main()
