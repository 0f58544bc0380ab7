# ruff: noqa: S603
"""Spectra × members per second of the reference's two loops and of qnal, alternating.

Command: python experiments/benchmarks/forward.py            (--quick: some seconds, rough numbers)
         python experiments/benchmarks/forward.py ENSEMBLE --pool PEREXP
Source:  QuasarNP's numpy loop is its package where that is installed, otherwise the same algorithm;
         Keras is `model.predict(X)`, member by member
Cost:    two minutes on 2 cores, and one more the first time, when it trains four members
Expect:  on 5,000 rows float32 17 to 20 times QuasarNP, bfloat16 32 to 40, numpy 7; bfloat16 4 to 5
         times Keras; on 500 rows 12, 20, 5 and 5; every vote of bfloat16 is that of float32
"""

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from machine import describe, gemm_limit, ratio, side_by_side
from scipy.special import expit

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.votes import Thresholds, votes
from qnal.errors import ConfigError
from qnal.inference.member_stack import MemberStack
from qnal.inference.members import Members, SeparateMembers, forward_passes, predictions
from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.backends.forward import Backend, forward
from qnal.network.backends.quasarnp_backend import quasarnp_forward
from qnal.network.network import Network
from qnal.network.precision import Precision
from qnal.spectra.readers.desi import find_coadds, read_coadd
from qnal.spectra.rebin import Status
from qnal.threads import available_cores, use_threads

WORK = Path("work/benchmarks").absolute()
MOCK = ["data=mock", "data.mock.pool=5000", "tracking=none", f"work_dir={WORK}"]
THRESHOLDS = Thresholds()
TARGETS = (
    ("float32", "QuasarNP", 12.0),
    ("default", "QuasarNP", 20.0),
    ("default", "Keras", 4.0),
    ("numpy", "QuasarNP", 5.0),
)


def trained() -> tuple[Path, Path]:
    """Four members trained on the mock survey, and its pool."""
    train = [
        "stage=train",
        "train=short",
        "ensemble.n=4",
    ]
    for words in (["stage=mock"], train):
        subprocess.run([sys.executable, "-m", "qnal", *words, *MOCK], check=True)
    pool = next(WORK.glob("mock/*/pool/tiles/perexp"))
    return WORK / json.loads((WORK / "latest.json").read_text())["ensemble"], pool


def spectra(pool: Path, network: Network) -> np.ndarray:
    """Usable spectra of a tree."""
    coadds = (read_coadd(file, network.grid) for file in find_coadds(str(pool), "pool"))
    return np.concatenate([c.x[np.asarray(c.table["STATUS"]) == Status.OK] for c in coadds])


def quasarnp(network: Network) -> tuple[str, Callable[[np.ndarray], object]]:
    """QuasarNP as the reference uses it, in float64."""
    try:
        return "the package", quasarnp_forward(network, np.float64)
    except ConfigError:
        return "restated", restated(network)


def restated(network: Network) -> Callable[[np.ndarray], object]:
    """Its algorithm: a matrix product an output pixel, batch norm apart, head after head."""
    convs = [(c.kernel.astype(float), c.bias.astype(float), c) for c in network.convs]

    def normed(y: np.ndarray, norm: object) -> np.ndarray:
        scaled = (y - norm.mean) / np.sqrt(norm.variance + norm.epsilon)
        return np.maximum(0, scaled * norm.gamma + norm.beta)

    def run(x: np.ndarray) -> list[np.ndarray]:
        y = x[:, :, None].copy()
        for kernel, bias, conv in convs:
            y = np.pad(y, ((0, 0), conv.padded(y.shape[1]), (0, 0)))
            width, _, filters = kernel.shape
            out = np.zeros((len(y), (y.shape[1] - width) // conv.stride + 1, filters))
            for k in range(out.shape[1]):
                window = y[:, k * conv.stride : k * conv.stride + width].reshape(len(y), -1)
                out[:, k] = window @ kernel.reshape(-1, filters)
            y = normed(out + bias, conv.norm)
        y = y.reshape(len(y), -1) @ network.dense_kernel.astype(float) + network.dense_bias
        y = normed(y, network.dense_norm)
        heads = range(len(network.head_bias))
        return [
            expit(y @ network.head_kernel[:, h, p].astype(float) + network.head_bias[h, p])
            for h in heads
            for p in (0, 1)
        ]

    return run


def keras_members(networks: list[Network]) -> list[object]:
    """Keras models with the members' weights."""
    from qnal.network.keras_model import keras_model

    models = []
    for network in networks:
        model = keras_model(network)
        for name, arrays in network.arrays().items():
            model.get_layer(name).set_weights(list(arrays.values()))
        models.append(model)
    return models


def alone(networks: list[Network], x: np.ndarray, threads: int, seconds: float) -> float:
    """Spectrum-members a second of the default precision in this process."""
    use_threads(threads)
    stack = MemberStack(networks, Precision.auto)
    predictions(stack, x)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        predictions(stack, x)
        count += len(x) * len(networks)
    return count / (time.perf_counter() - start)


def processes(arguments: list[str], count: int, threads: int, seconds: float) -> float:
    """The same in several processes at once."""
    command = [sys.executable, __file__, *arguments, "--alone", str(threads), str(seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(p.communicate()[0].split()[-1]) for p in running)


def measure(networks: list[Network], x: np.ndarray, repeats: int) -> None:
    """Times all ways on these rows and prints a table."""
    stacks = {"f32": MemberStack(networks)}
    stacks["auto"] = MemberStack(networks, Precision.auto)
    plain = SeparateMembers([(n, forward(n, Backend.numpy)) for n in networks])
    how, loop = quasarnp(networks[0])
    models = keras_members(networks)

    def way(members: Members) -> Callable[[], object]:
        return lambda: predictions(members, x)

    exact = x.astype(np.float64)
    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "QuasarNP": (1, lambda: loop(exact)),
        "Keras": (len(models), lambda: [m.predict(exact[:, :, None]) for m in models]),
        "float32": (len(networks), way(stacks["f32"])),
        "default": (len(networks), way(stacks["auto"])),
        "numpy": (len(networks), way(plain)),
    }
    with redirect_stdout(io.StringIO()):  # Keras draws a bar for every call
        seconds = side_by_side({name: way for name, (_, way) in ways.items()}, repeats)
    each = {name: [t / ways[name][0] for t in times] for name, times in seconds.items()}
    limit = gemm_limit() / 35e6
    print(f"\n{len(x):,} rows, {len(networks)} members; QuasarNP: {how}")
    print(f"{'':10}{'spectra x members/s':>20}{'of float32 limit':>18}")
    for name, times in each.items():
        rate = len(x) / np.median(times)
        print(f"{name:10}{rate:20,.0f}{rate / limit:18.0%}")
    for fast, slow, wanted in TARGETS:
        middle, least, most = ratio(each, slow, fast)
        print(f"{fast} / {slow}: {middle:.1f} ({least:.1f} to {most:.1f}), wanted {wanted:.0f}")
    a, b = (predictions(stacks[name], x) for name in ("f32", "auto"))
    ours, theirs = (votes(s.deciding, s.z_best, THRESHOLDS) for s in (b, a))
    dz = np.abs(a.z_best - b.z_best)[theirs > 0] / (1 + a.z_best[theirs > 0])
    rechecked = forward_passes(stacks["auto"], x).rechecked.mean()
    print(
        f"default is {stacks['auto'].precisions[0]}: {(ours != theirs).sum()} of {ours.size:,} "
        f"votes differ; {rechecked:.2%} rechecked; largest differences: "
        f"confidence {np.abs(a.confidence - b.confidence).max():.4f}, that decides "
        f"{np.abs(a.deciding - b.deciding).max():.4f}, dz/(1+z) of quasars {dz.max(initial=0):.5f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ensemble", nargs="?", type=Path, help="a folder of members")
    parser.add_argument("--pool", type=Path, help="a tree of coadds")
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--rows", type=int, nargs="*", default=[5000, 1000, 500])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-processes", action="store_true", help="leave out the last line")
    parser.add_argument("--quick", action="store_true", help="500 rows, two members")
    parser.add_argument("--alone", nargs=2, metavar=("THREADS", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.rows, given.members, given.repeats = [500], 2, 2
    ensemble, pool = given.ensemble, given.pool
    if ensemble is None or pool is None:
        ensemble, pool = trained()
    stored = EnsembleFolder(ensemble).read(QUASARNET_LINES, QUASARNET_BAL_LINES, given.members)
    networks = list(stored.networks)
    x = spectra(pool, networks[0])
    if given.alone:
        threads, seconds = int(given.alone[0]), float(given.alone[1])
        print(alone(networks, np.resize(x, (500, x.shape[1])), threads, seconds))
        return
    cores = available_cores()
    use_threads(cores)
    print(describe())
    for rows in given.rows:
        measure(networks, np.resize(x, (rows, x.shape[1])), given.repeats)
    if given.no_processes:
        return
    arguments = [str(ensemble), "--pool", str(pool), "--members", str(given.members)]
    seconds = 2.0 if given.quick else 8.0
    one, many = (processes(arguments, *kind, seconds) for kind in ((1, cores), (cores, 1)))
    print(f"\n500 rows: one process of {cores} threads {one:,.0f}/s, {cores} of one {many:,.0f}/s")


if __name__ == "__main__":
    main()
