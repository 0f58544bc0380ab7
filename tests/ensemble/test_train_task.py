"""Members are the same bit for bit wherever they are trained, and whichever worker is lost."""

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.member_trainer import DivergedError, MemberRecipe
from qnal.ensemble.train_task import TrainTask
from qnal.ensemble.votes import Thresholds
from qnal.executors.dask import dask
from qnal.executors.local import LocalProcesses, Serial
from qnal.executors.tasks import completed
from qnal.network.structure import Structure
from qnal.network.training import Hyperparameters
from qnal.spectra.grid import named_grid

pytestmark = pytest.mark.process

A_MEMBER = runpy.run_path(str(Path(__file__).with_name("test_member_trainer.py")))


def a_work(root: Path, labelled: LabelledSet | None = None) -> TrainTask:
    structure = Structure(
        named_grid("log"), ("LYA", "CIV(1548)"), ("CIV(1548)",), layers=2, filters=8, units=5
    )
    # Long enough to be killed in the middle.
    schedule = Hyperparameters(epochs=100, min_steps=0, batch_size=8)
    recipe = MemberRecipe(
        structure, schedule, Thresholds(), Bootstrap.targets, 91701, A_MEMBER["THREADS"]
    )
    (labelled or A_MEMBER["a_labelled_set"]()).write(root / "labelled")
    return TrainTask(recipe, root / "labelled", EnsembleFolder(root / "ensemble"))


def units(*members: int) -> list[tuple[int]]:
    return [(k,) for k in members]


def content(work: TrainTask) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (work.folder.path / "members").glob("0*")}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """What one process makes of it, one member after the other."""
    work = a_work(tmp_path_factory.mktemp("serial"))
    outcomes = list(completed(Serial, work, units(0, 1, 2)))
    assert [unit for unit, _ in outcomes] == [(0,), (1,), (2,)]
    assert all(found == {k: work.folder.record(k)} for (k,), found in outcomes)
    return content(work)


def holder(lock: Path) -> int | None:
    """The process that holds a lock file."""
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] != "->" and fields[5].endswith(f":{lock.stat().st_ino}"):
            return int(fields[4])
    return None


@contextmanager
def killing_one(work: TrainTask) -> Iterator[list[int]]:
    """Kill a process in the midst of a member, once; yields who was killed."""
    killed: list[int] = []
    over = Event()

    def watch() -> None:
        while not killed and not over.wait(0.005):
            for k in work.folder.in_training():
                pid = holder(work.folder.lock(k))
                if pid and not killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    yield killed
    over.set()
    thread.join()


def test_order_and_threads(serial, tmp_path):
    work = a_work(tmp_path)
    assert len(dict(completed(partial(ThreadPoolExecutor, 2), work, units(2, 0, 1)))) == 3
    assert content(work) == serial
    assert not work.folder.in_training()


def test_one_process(serial, tmp_path):
    work = a_work(tmp_path)
    assert len(dict(completed(partial(LocalProcesses, 1), work, units(0, 1, 2)))) == 3
    assert content(work) == serial


def test_two_processes_one_of_which_is_killed(serial, tmp_path):
    work = a_work(tmp_path)
    dict(completed(Serial, work, units(0)))  # an ensemble of one, which is then extended
    with killing_one(work) as killed:
        results = dict(completed(partial(LocalProcesses, 2), work, units(1, 2)))
    assert killed and killed != [os.getpid()] and sorted(results) == [(1,), (2,)]
    assert content(work) == serial


@pytest.fixture
def scheduler(tmp_path):
    """A Dask scheduler and two workers, as three processes; yields address and workers."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    file = str(tmp_path / "scheduler.json")
    command = [sys.executable, "-m", "dask"]
    where = ["--scheduler-file", file]
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", tmp_path]
    processes = [
        subprocess.Popen([*command, "scheduler", "--port", "0", "--no-dashboard", *where], **quiet),
        *(subprocess.Popen([*command, "worker", *where, *options], **quiet) for _ in range(2)),
    ]
    try:
        from distributed import Client

        deadline = time.monotonic() + 30
        while not Path(file).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with Client(scheduler_file=file) as client:
            client.wait_for_workers(2, timeout=30)
            address = client.scheduler.address
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_dask_workers_one_of_which_is_killed(serial, tmp_path, scheduler):
    address, workers = scheduler
    work = a_work(tmp_path)
    with killing_one(work) as killed:
        results = dict(completed(partial(dask, address), work, units(0, 1, 2)))
    (victim,) = [worker for worker in workers if worker.pid in killed]
    assert victim.wait(5) == -signal.SIGKILL
    assert sorted(results) == [(0,), (1,), (2,)]
    assert content(work) == serial


def test_members_that_diverged_are_told_apart(tmp_path):
    labelled = A_MEMBER["a_labelled_set"]()
    labelled.x[:] = float("nan")
    ((_, found),) = completed(Serial, a_work(tmp_path, labelled), units(3))
    assert isinstance(found[3], DivergedError)
