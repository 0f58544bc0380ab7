"""Memory of stage=infer and the time for one more file, for two pools whose sizes differ 20 times.

Source:  own benchmark
Command: python experiments/benchmarks/scoring_memory.py        (--quick: a run of seconds)
Cost:    5 minutes on 2 cores, 2 GB of disk
Expect:  about the same peak memory and the same time for one more file at both sizes; a finished
         file takes less than 0.2 milliseconds

Each job is a process of its own, as a user starts it. The larger pool consists of links to the
files of the smaller one.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from machine import describe

from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.structure import Structure
from qnal.network.weights import write_network
from qnal.spectra.grid import named_grid
from qnal.spectra.mock import write_survey
from qnal.spectra.mock.config import MockConfig


@dataclass(frozen=True)
class Job:
    """What one job took."""

    seconds: float
    peak: float  # MB


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small files, few of them")
    parser.add_argument("--work", type=Path, help="folder to work in; a temporary one by default")
    parser.add_argument("--members", type=int, default=4)
    options = parser.parse_args()
    files, rows, factor = (4, 100, 10) if options.quick else (20, 500, 20)
    with TemporaryDirectory(dir=options.work) as folder:
        measure(Path(folder), files, rows, factor, options.members, options.quick)


def measure(root: Path, files: int, rows: int, factor: int, members: int, quick: bool) -> None:
    """Score both pools, then both with one file more."""
    # One file more than are scored at first, so that there is one to add.
    pool_rows = (files + 1) * rows
    config = MockConfig(labelled=0, boss=0, pool=pool_rows, fibres=rows, petals=1, exposures=1)
    survey = write_survey(config, root / "mock")
    found = sorted(survey.pool.rglob("coadd-*.fits"))
    weights = root / "weights"
    weights.mkdir()
    structure = Structure(
        named_grid("log"), QUASARNET_LINES, QUASARNET_BAL_LINES, filters=16 if quick else 100
    )
    for k in range(members):
        write_network(structure.initial(np.random.default_rng(k)), weights / f"net_{k}.h5")
    print(f"{describe()}; {members} members, files of {rows} spectra\n")
    print("  files  scored, s  peak, MB  nothing to do, s  one more, s")
    for size in (files, files * factor):
        pool = root / f"pool-{size}"
        for k in range(size):
            link(found[k % files], pool, k)
        job = [f"ensemble.path={weights}", f"data.pool={pool}", f"work_dir={root / f'work-{size}'}"]
        job += ["infer=numpy"] if quick else []
        first = run(job)
        idle = min(run(job).seconds for _ in range(3))
        link(found[files], pool, size)
        more = run(job)
        print(
            f"{size:7} {first.seconds:10.1f} {first.peak:9.0f} {idle:17.2f} "
            f"{more.seconds - idle:12.2f}   (peak {more.peak:.0f} MB)"
        )


def link(file: Path, pool: Path, number: int) -> None:
    """A file of the pool under a name of its own."""
    path = pool / f"{1000 + number // 10}" / f"{number:08d}" / f"coadd-0-1000-exp{number:08d}.fits"
    path.parent.mkdir(parents=True)
    path.hardlink_to(file)


def run(job: list[str]) -> Job:
    """Run stage=infer as a user does."""
    command = [
        sys.executable,
        "-m",
        "qnal",
        "stage=infer",
        "tracking=none",
        "executor=serial",
        *job,
    ]
    begin = time.perf_counter()
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)  # noqa: S603
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Job(time.perf_counter() - begin, peak)


def _peak(process: int) -> float:
    """Peak memory of a process up to now, MB; what wait4 tells begins with its parent's."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    lines = [line.split() for line in status.splitlines() if line.startswith("VmHWM")]
    return float(lines[0][1]) / 1024 if lines else 0.0


if __name__ == "__main__":
    main()
