"""The query against the reference notebook's steps in astropy; time and memory at any size.

Command: python experiments/benchmarks/query.py [--rows 3600000] [--parts N] [--no-astropy]
Source:  the notebook's steps as docs/formats.md lists them, written with astropy and numpy
Cost:    two minutes at 3.6 million rows, without --no-astropy another GB of memory
Expect:  the same targets, in less than a third of the processor time of astropy; at most 4 GB and
         time proportional to the rows at 36 million, as one file and as --parts 7200
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from machine import describe

CELLS, MEMBERS, N = 2025, 200, 1000
CHUNK = 500_000
FIRST = 39627758518773698


def chunk(start: int, rows: int, total: int) -> pa.Table:
    """Scores of some of the spectra; a target has four spectra on average."""
    rng = np.random.default_rng([1, start])
    kind = rng.random(rows)
    # Most spectra are voted upon unanimously.
    wide = rng.dirichlet([0.8, 0.3, 0.3], rows)
    p = np.where(kind[:, None] < 0.3, wide, np.eye(3)[(kind > 0.9).astype(int)])
    votes = rng.multinomial(MEMBERS, p) / MEMBERS
    row = np.arange(start, start + rows)
    targetid = FIRST + 61 * rng.integers(0, max(total // 4, 1), rows)
    numbers = {f"{name}": rng.random(rows, np.float32) for name in ("ENTROPY", "Z", "SNR_R")}
    return pa.table(
        {
            "TARGETID": targetid,
            "TILEID": pa.array(row // 50_000, pa.int32()),
            "EXPID": pa.array(row // 5000, pa.int32()),
            "FILE": pa.array([f"tiles/{r // 5000}.fits" for r in row]).dictionary_encode(),
            "ROW": pa.array(row % 5000, pa.int32()),
            "CAMERAS": pa.array(np.where(rng.random(rows) < 0.01, 3, 7), pa.int8()),
            "C_NOT": votes[:, 0].astype(np.float32),
            "C_QSO_LZ": votes[:, 1].astype(np.float32),
            "C_QSO_HZ": votes[:, 2].astype(np.float32),
            "BMU": pa.array(
                np.minimum(rng.exponential(500, rows), CELLS - 1), pa.int32(), safe=False
            ),
            "STATUS": pa.array(["ok"] * rows).dictionary_encode(),
        }
        | numbers
    )


def write_scores(folder: Path, rows: int, parts: int) -> Path:
    """A folder of Parquet parts."""
    target = folder / "parts"
    target.mkdir()
    if parts == 1:
        writer = None
        for start in range(0, rows, CHUNK):
            table = chunk(start, min(CHUNK, rows - start), rows)
            writer = writer or pq.ParquetWriter(target / "scores.parquet", table.schema)
            writer.write_table(table)
        if writer:
            writer.close()
        return target
    size = -(-rows // parts)
    for part, start in enumerate(range(0, rows, size)):
        pq.write_table(chunk(start, min(size, rows - start), rows), target / f"{part:05d}.parquet")
    return target


def astropy_steps(parts: Path) -> list[int]:
    """The notebook: entropy, occupied cells, best row per target, cameras, the first N."""
    from astropy.table import Table, unique

    names = ["TARGETID", "TILEID", "EXPID", "C_NOT", "C_QSO_LZ", "C_QSO_HZ", "BMU", "CAMERAS"]
    read = pq.read_table(parts, columns=names)
    table = Table({name: read[name].to_numpy() for name in names})
    shares = np.stack([np.round(table[c].astype(float), 7) for c in names[3:6]], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, -shares * np.log(shares), 0.0)
    terms.sort(axis=1)
    table["ENTROPY"] = np.round(terms.sum(axis=1), 12)
    occupation = np.bincount(table["BMU"], minlength=CELLS)
    complete = table["TARGETID", "CAMERAS"]
    table = table[occupation[table["BMU"]] > np.percentile(occupation, 15)]
    table = table[np.lexsort((table["EXPID"], table["TARGETID"], -table["ENTROPY"]))]
    table = unique(table, keys="TARGETID", keep="first")
    order = np.argsort(complete["TARGETID"], kind="stable")
    ids, first = np.unique(complete["TARGETID"][order], return_index=True)
    alive = np.bitwise_or.reduceat(np.asarray(complete["CAMERAS"])[order], first)
    table = table[~np.isin(table["TARGETID"], ids[alive & 7 != 7])]
    table = table[np.lexsort((table["TARGETID"], -table["ENTROPY"]))][:N]
    tiles = read["TILEID"].to_numpy()[np.isin(read["TARGETID"].to_numpy(), table["TARGETID"])]
    target = read["TARGETID"].to_numpy()
    pairs = Table({"TARGETID": target[np.isin(target, table["TARGETID"])], "TILEID": tiles})
    unique(pairs, keys=["TARGETID", "TILEID"])
    return [int(targetid) for targetid in table["TARGETID"]]


def qnal_query(parts: Path) -> list[int]:
    """The same with qnal."""
    from qnal.query.options import QueryOptions
    from qnal.query.select import select

    return [int(t) for t in select(parts, QueryOptions(n=N), cells=CELLS).targetids]


def measured(way: str, parts: Path) -> tuple[float, float, float, list[int]]:
    """Seconds, processor seconds and peak memory in GB of one way, in a process of its own.

    And what it selects.
    """
    command = [sys.executable, __file__, "--way", way, "--scores", str(parts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    seconds, processor, memory, *targetids = done.stdout.split()
    numbers = float(seconds), float(processor), float(memory)
    return *numbers, [int(targetid) for targetid in targetids]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=3_600_000)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-astropy", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to write; default: temporary")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--scores", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        start, processor = time.perf_counter(), time.process_time()
        targetids = {"astropy": astropy_steps, "qnal": qnal_query}[arguments.way](arguments.scores)
        seconds = time.perf_counter() - start
        processor = time.process_time() - processor
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(seconds, processor, memory, *targetids)
        return
    print(describe())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        start = time.perf_counter()
        parts = write_scores(Path(folder), arguments.rows, arguments.parts)
        print(f"{arguments.rows:,} rows in {arguments.parts} files, "
              f"written in {time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
        ways = ["qnal"] if arguments.no_astropy else ["astropy", "qnal"]
        best: dict[str, float] = {}
        least: dict[str, float] = {}
        selected = {}
        for _ in range(arguments.repeats):
            for way in ways:
                seconds, processor, memory, selected[way] = measured(way, parts)
                best[way] = min(best.get(way, np.inf), seconds)
                least[way] = min(least.get(way, np.inf), processor)
                print(f"{way:8} {seconds:7.1f} s, of the processor {processor:6.1f} s, "
                      f"{memory:5.2f} GB", flush=True)  # fmt: skip
    if len(ways) == 2:
        same = selected["astropy"] == selected["qnal"]
        print(f"qnal is {best['astropy'] / best['qnal']:.1f} times as fast and takes "
              f"{least['qnal'] / least['astropy']:.0%} of the processor time (best of each); "
              f"{'the same targets' if same else 'OTHER TARGETS'}")  # fmt: skip


if __name__ == "__main__":
    main()
