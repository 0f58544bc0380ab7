"""The query against the reference notebook's steps in astropy; time and memory at any size.

Command: python experiments/benchmarks/query.py [--rows 3600000] [--parts N] [--no-astropy]
         [--strategies vote_entropy herding …] times strategies instead of the notebook's steps
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
PIXELS = 443  # of a prototype of the SOM
WAYS = ("astropy", "qnal")
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


def strategy_columns(start: int, rows: int) -> dict[str, np.ndarray]:
    """Further columns of the scores, which some strategies need."""
    rng = np.random.default_rng([2, start])
    numbers = ("P_NOT", "MUTUAL_INFO", "BMU_DISTANCE", "Z_RR", "DELTACHI2_RR")
    columns = {name: rng.random(rows, np.float32) for name in numbers}
    columns["ZWARN_RR"] = (rng.random(rows) < 0.05).astype(np.int64)
    return columns | {"SPECTYPE_RR": rng.choice(["GALAXY", "QSO", "STAR"], rows)}


def write_scores(folder: Path, rows: int, parts: int, more: bool) -> Path:
    """A folder of Parquet parts; ``more``: with the columns of all strategies."""

    def chunk_of(start: int, size: int) -> pa.Table:
        table = chunk(start, size, rows)
        for name, values in strategy_columns(start, size).items() if more else ():
            table = table.append_column(name, pa.array(values))
        return table

    target = folder / "parts"
    target.mkdir()
    if parts == 1:
        writer = None
        for start in range(0, rows, CHUNK):
            table = chunk_of(start, min(CHUNK, rows - start))
            writer = writer or pq.ParquetWriter(target / "scores.parquet", table.schema)
            writer.write_table(table)
        if writer:
            writer.close()
        return target
    size = -(-rows // parts)
    for part, start in enumerate(range(0, rows, size)):
        pq.write_table(chunk_of(start, min(size, rows - start)), target / f"{part:05d}.parquet")
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


def strategy_query(parts: Path, name: str) -> list[int]:
    """A query with another strategy, with the settings of its YAML file."""
    from omegaconf import OmegaConf

    from qnal.config import plugin
    from qnal.query.options import QueryOptions
    from qnal.query.select import select
    from qnal.query.strategies.strategy import Strategy

    node = OmegaConf.load(Path(__file__).parents[2] / "conf" / "query" / f"{name}.yaml").strategy
    strategy = plugin.create(OmegaConf.to_container(node), "query.strategy", Strategy)
    prototypes = np.random.default_rng(3).normal(size=(CELLS, PIXELS))
    options = QueryOptions(n=N, strategy=strategy)
    return [int(t) for t in select(parts, options, None, CELLS, prototypes, MEMBERS).targetids]


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
    parser.add_argument("--strategies", nargs="+", default=[], help="names, as in query=NAME")
    parser.add_argument("--folder", type=Path, help="where to write; default: temporary")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--scores", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        start, processor = time.perf_counter(), time.process_time()
        if arguments.way in WAYS:
            ways = dict(zip(WAYS, (astropy_steps, qnal_query), strict=True))
            targetids = ways[arguments.way](arguments.scores)
        else:
            targetids = strategy_query(arguments.scores, arguments.way)
        seconds = time.perf_counter() - start
        processor = time.process_time() - processor
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(seconds, processor, memory, *targetids)
        return
    print(describe())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        start = time.perf_counter()
        more = bool(arguments.strategies)
        parts = write_scores(Path(folder), arguments.rows, arguments.parts, more)
        print(f"{arguments.rows:,} rows in {arguments.parts} files, "
              f"written in {time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
        ways = arguments.strategies or [*WAYS][arguments.no_astropy :]
        best: dict[str, float] = {}
        least: dict[str, float] = {}
        selected = {}
        for _ in range(arguments.repeats):
            for way in ways:
                seconds, processor, memory, selected[way] = measured(way, parts)
                best[way] = min(best.get(way, np.inf), seconds)
                least[way] = min(least.get(way, np.inf), processor)
                print(f"{way:12} {seconds:7.1f} s, of the processor {processor:6.1f} s, "
                      f"{memory:5.2f} GB", flush=True)  # fmt: skip
    if ways == [*WAYS]:
        same = selected["astropy"] == selected["qnal"]
        print(f"qnal is {best['astropy'] / best['qnal']:.1f} times as fast and takes "
              f"{least['qnal'] / least['astropy']:.0%} of the processor time (best of each); "
              f"{'the same targets' if same else 'OTHER TARGETS'}")  # fmt: skip


if __name__ == "__main__":
    main()
