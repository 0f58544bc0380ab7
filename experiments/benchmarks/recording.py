"""What recording in MLflow costs, and how long a query of a small table takes from its start.

Command: python experiments/benchmarks/recording.py [--members 100] [--pairs 2]
Source:  docs/mlflow.md; each job runs with tracking=none and with tracking=sqlite in turn
Cost:    10 minutes
Expect:  recording costs at most 2 % of the processor time that training 100 members takes, and 5 s
         in a demo; a query takes at most 2.5 times as long as importing the libraries that it uses
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from machine import describe

# Members are small here, because what recording one costs does not depend on its training; a
# member of the reference's size takes this much processor time on 2,500 spectra (10 epochs).
MEMBER_SECONDS = 12.0
SMALL = ("data=mock", "debug=default", "traceback=false", "data.mock.snr_min=2")
LIBRARIES = (
    "hydra, filelock, numpy, pandas, pyarrow.parquet, duckdb, rich.console, matplotlib.figure, "
    "matplotlib.backends.backend_agg, fitsio, mlflow, mlflow.store.tracking.sqlalchemy_store"
)


def timed(*command: str) -> tuple[float, float]:
    """Seconds and processor seconds of a command, its children included."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(  # noqa: S603
        [sys.executable, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - begin, cpu


def recording(folder: Path, stage: str, pairs: int, *settings: str) -> float:
    """Processor seconds that recording adds to a job, the median over pairs."""
    extra = []
    for k in range(pairs):
        cpu = {}
        for tracking in ("none", "sqlite"):
            work = f"work_dir={folder / f'{stage}-{tracking}-{k}'}"
            job = ("-m", "qnal", f"stage={stage}", *SMALL, f"tracking={tracking}", work, *settings)
            _, cpu[tracking] = timed(*job)
        extra.append(cpu["sqlite"] - cpu["none"])
        print(f"{stage}: {cpu['none']:.1f} s without, {cpu['sqlite']:.1f} s with recording")
    return median(extra)


def query(folder: Path, pairs: int) -> None:
    """A query of a small table against importing its libraries."""
    rng = np.random.default_rng(1)
    votes = rng.multinomial(50, [0.5, 0.3, 0.2], 2000) / 50
    rows = [f"{2**53 + k},{a},{b},{c}" for k, (a, b, c) in enumerate(votes)]
    table = folder / "scores.csv"
    table.write_text("\n".join(["TARGETID,C_NOT,C_QSO_LZ,C_QSO_HZ", *rows]) + "\n")
    job = ("-m", "qnal", "stage=query", f"query.scores={table}", f"work_dir={folder / 'query'}")
    ways = {"import": ("-c", f"import {LIBRARIES}"), "query": job}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(pairs + 1):  # the first pair fills the caches
        for name, command in ways.items():
            found[name].append(timed(*command))
    for i, what in enumerate(("elapsed", "processor")):
        best = {name: min(pair[i] for pair in pairs_[1:]) for name, pairs_ in found.items()}
        print(
            f"query: {best['query']:.2f} s {what} time, importing {best['import']:.2f} s, ratio "
            f"{best['query'] / best['import']:.2f}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=2)
    given = parser.parse_args()
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    print(describe())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        query(folder, given.pairs + 1)
        extra = recording(folder, "train", given.pairs, f"ensemble.n={given.members}")
        share = extra / (given.members * MEMBER_SECONDS)
        print(f"training: recording {given.members} members costs {extra:.1f} s, {share:.1%}")
        extra = recording(folder, "pipeline", given.pairs, "ensemble.n=8", "network.filters=64")
        print(f"demo: recording costs {extra:.1f} s")


if __name__ == "__main__":
    main()
