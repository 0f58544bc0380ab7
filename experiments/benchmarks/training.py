"""Training speed in samples per second: the loop of the reference over Keras models, and qnal.

Command: python experiments/benchmarks/training.py [--members 4] [--epochs 6] [--group 0] [--quick]
Source:  the reference is train_qnet_ensemble.py of the QuasarNET active-learning scripts: for
         each member a new Keras model, compile with a loss per head, fit(X[sample], …,
         batch_size=256), clear_session
Cost:    2 minutes on 2 cores; half a minute with --quick, whose numbers are not representative
Expect:  on 2 cores with bfloat16 (AMD EPYC, Zen 5) 2.4 times the reference in the default
         precision and 1.6 times in float32, 106 and 72 % of the float32 GEMM limit, the
         reference 45 %

The implementations run in turn, two members at a time: the reference in one process on all cores;
qnal in one single-threaded process per core, as with ``executor=local``. The time includes building
and tracing, and for qnal the start of the workers (the process of the reference has started and
imported Keras before). The median and the best epoch leave out the first epoch of each member. On
some virtual machines the two threads of Keras share one core in most epochs, so the ratio of the
best epochs is the most reliable one. ``--group G`` also compares G members trained together in one
process with members trained one by one.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from statistics import mean, median

import numpy as np
from machine import describe, gemm_limit

from qnal.lines import QUASARNET_BAL_LINES, QUASARNET_LINES
from qnal.network.network import Network
from qnal.network.precision import Precision, resolved
from qnal.network.structure import Structure
from qnal.network.targets import Targets, targets
from qnal.spectra.grid import named_grid
from qnal.threads import available_cores, use_threads

BATCH, RATE, FLOP = 256, 2e-4, 106e6  # FLOP per sample and step: three times a forward pass
EVERYDAY = 600  # steps per member in a typical job


@dataclass(frozen=True)
class Job:
    """Rows and epochs of a member, and the number of members trained together."""

    rows: int
    epochs: int
    precision: Precision = Precision.float32
    group: int = 1


@dataclass(frozen=True)
class Fit:
    """Times at which the training of a member began and at which each epoch ended."""

    begin: float
    epochs: tuple[float, ...]


def data(rows: int) -> tuple[np.ndarray, Targets]:
    """Random spectra with random labels."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, 443)).astype(np.float32)
    label, z = rng.integers(1, 5, rows), rng.uniform(0.3, 4, rows)
    names = {"lines": QUASARNET_LINES, "bal_lines": QUASARNET_BAL_LINES}
    bal = rng.integers(-1, 2, rows)
    return x, targets(label, z, bal, boxes=13, grid=named_grid("log"), **names)


def reference_network(seed: int) -> Network:
    """The reference's network: 4 layers, 100 filters, 7 heads of 13 boxes."""
    structure = Structure(named_grid("log"), QUASARNET_LINES, QUASARNET_BAL_LINES)
    return structure.initial(np.random.default_rng(seed))


def keras_member(job: Job, member: int) -> list[Fit]:
    """Train one member like the reference."""
    from qnal.network.keras_model import keras_model
    from qnal.tf import keras

    x, t = data(job.rows)
    y = [np.concatenate([t.boxes[:, h], t.offsets[:, h]], axis=1) for h in range(t.boxes.shape[1])]
    template = reference_network(0)
    sample = np.random.default_rng(member).integers(job.rows, size=job.rows)
    begin, ends = time.time(), []
    model = keras_model(template)
    model.compile(keras.optimizers.Adam(RATE), loss=[head_loss] * len(y))
    model.fit(
        x[sample][:, :, None],
        [of_head[sample] for of_head in y],
        sample_weight=[t.weights[sample, h] for h in range(len(y))],
        batch_size=BATCH,
        epochs=job.epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.time()))
        ],
    )
    keras.backend.clear_session()
    return [Fit(begin, tuple(ends))]


def head_loss(y_true, y_pred):  # type: ignore[no-untyped-def]
    """Loss of one head, as in QuasarNET."""
    from qnal.tf import keras

    k, eps = keras.ops, 1e-7
    y, offset = y_true[:, :13], y_true[:, 13:]
    p, shift = y_pred[:, :13], y_pred[:, 13:]
    n1, n2 = k.sum(y, axis=1) + eps, k.sum(1 - y, axis=1) + eps
    hit = y * (k.square(offset - shift) - k.log(k.clip(p, eps, 1 - eps)))
    miss = (1 - y) * k.log(k.clip(1 - p, eps, 1 - eps))
    return k.sum(hit, axis=1) / n1 - k.sum(miss, axis=1) / n2


def our_members(job: Job, members: range) -> list[Fit]:
    """Train members like a worker of qnal, whose trainer is made once."""
    from qnal.network.fit_state import InitialState

    begin = time.time()
    trainer = our_trainer(job)
    initial = {}
    for slot, member in enumerate(members):
        rng = np.random.default_rng(member)
        sample = rng.integers(job.rows, size=job.rows)
        initial[slot] = InitialState(reference_network(member), sample, rng)
    ends: dict[int, list[float]] = {slot: [] for slot in initial}
    trainer.fit_group(initial, lambda slot, *_: ends[slot].append(time.time()))
    return [Fit(begin, tuple(of_member)) for of_member in ends.values()]


@lru_cache(maxsize=2)
def our_trainer(job: Job):  # type: ignore[no-untyped-def]
    """The trainer of this process, with one thread."""
    from qnal.network.hyperparameters import Hyperparameters
    from qnal.network.training import Trainer

    if job.group == 1:
        use_threads(1)
    hyperparameters = Hyperparameters(job.epochs, 0, BATCH, RATE, precision=job.precision)
    return Trainer(reference_network(0), hyperparameters, *data(job.rows), job.group)


def workers(count: int) -> ProcessPoolExecutor:
    """New processes, which start with the first task."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


class Timed:
    """Times of one implementation: total, fits, and the end of the first epoch."""

    def __init__(self, train: Callable[[range], list[Fit]]) -> None:
        self.train, self.seconds, self.fits, self.first = train, 0.0, list[Fit](), 0.0

    def run(self, members: range) -> None:
        """Train members and add up the time."""
        begin = time.time()
        fits = self.train(members)
        self.first = self.first or min(fit.epochs[0] for fit in fits) - begin
        self.seconds += time.time() - begin
        self.fits += fits

    def epochs(self) -> list[float]:
        """Seconds per epoch, without the first epoch of each member."""
        return [float(s) for fit in self.fits for s in np.diff(fit.epochs)]

    def once(self) -> float:
        """Seconds per member besides its steps: mean first epoch minus median epoch."""
        first = mean(fit.epochs[0] - fit.begin for fit in self.fits)
        return max(0.0, first - median(self.epochs()))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=6, help="of 10 steps of 256")
    parser.add_argument("--group", type=int, default=0, help="members trained together")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    steps, epochs = (2, 2) if options.quick else (10, options.epochs)
    cores, job = available_cores(), Job(BATCH * steps, epochs)
    default = resolved(Precision.auto)
    reference = workers(1)
    limits = {p: reference.submit(gemm_limit, p).result() for p in ("float32", "bfloat16")}

    def one_after_the_other(members: range) -> list[Fit]:
        return [fit for m in members for fit in reference.submit(keras_member, job, m).result()]

    ways = {"reference": Timed(one_after_the_other)}
    pools = []
    for precision in dict.fromkeys((Precision.float32, default)):
        pool = workers(cores)
        pools.append(pool)

        def train(members: range, pool: ProcessPoolExecutor = pool,
                  job: Job = Job(job.rows, job.epochs, precision)) -> list[Fit]:  # fmt: skip
            running = [pool.submit(our_members, job, range(m, m + 1)) for m in members]
            return [fit for done in running for fit in done.result()]

        ways[f"qnal {precision}"] = Timed(train)
    for first in range(0, options.members, 2):
        for way in ways.values():
            way.run(range(first, min(first + 2, options.members)))
    print(describe())
    print("GEMM limit: " + ", ".join(f"{p} {v / 1e9:.0f} GFLOP/s" for p, v in limits.items()))
    print(f"{options.members} members of {steps * epochs} steps of {BATCH} samples\n")
    table(ways, limits["float32"], job, {name: 1 if name == "reference" else cores
                                         for name in ways})  # fmt: skip
    for pool in (reference, *pools):
        pool.shutdown()
    if options.group > 1:
        grouped(Job(job.rows, 3 if options.quick else job.epochs, default), options.group)


def table(ways: dict[str, Timed], limit: float, job: Job, at_once: dict[str, int]) -> None:
    """Samples per second and ratios to the reference: in total, median and best epoch."""
    names = ("all", "median", "best", f"{EVERYDAY} steps")
    print("{:15s}".format(""), *(f"{name:>9s} ratio" for name in names), " of GEMM  1st epoch ends")
    base: list[float] = []
    for name, way in ways.items():
        best = min(way.epochs())
        # A typical job: start of a member, then steps as fast as in the best epoch.
        everyday = EVERYDAY * BATCH / (way.once() + best * EVERYDAY * BATCH / job.rows)
        speeds = [
            len(way.fits) * job.rows * job.epochs / way.seconds,
            job.rows / median(way.epochs()) * at_once[name],
            job.rows / best * at_once[name],
            everyday * at_once[name],
        ]
        base = base or speeds
        cells = [f"{v:9.0f} {v / b:5.2f}" for v, b in zip(speeds, base, strict=True)]
        print(f"{name:15s}", *cells, f"{speeds[2] * FLOP / limit:8.0%}  after {way.first:.1f} s")


def grouped(job: Job, size: int) -> None:
    """Members trained together and one by one, both in one process on all cores."""
    together = Job(job.rows, job.epochs, job.precision, size)
    with workers(1) as one, workers(1) as many:
        (single,) = one.submit(our_members, job, range(1)).result()
        fits = many.submit(our_members, together, range(size)).result()
    loop, group = (median(np.diff(fit.epochs)) for fit in (single, fits[0]))
    print(f"\n{size} members one by one, 1 thread: {job.rows / loop:.0f} samples/s")
    print(f"{size} members together: {job.rows * size / group:.0f} samples/s, "
          f"{size * loop / group:.2f} times")  # fmt: skip


if __name__ == "__main__":
    main()
