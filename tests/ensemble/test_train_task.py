"""Members are the same bit for bit with every executor, and whichever worker is killed."""

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
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.train_task import TrainTask, train_members
from qnal.ensemble.votes import Thresholds
from qnal.errors import InputError
from qnal.executors.dask import dask
from qnal.executors.local import LocalProcesses, Serial
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid

pytestmark = pytest.mark.process

A_MEMBER = runpy.run_path(str(Path(__file__).with_name("test_member_trainer.py")))


def a_task(root: Path, **labels: float) -> TrainTask:
    structure = Structure(
        named_grid("log"), ("LYA", "CIV(1548)"), ("CIV(1548)",), layers=1, filters=2, units=3
    )
    hyperparameters = Hyperparameters(epochs=60, min_steps=0, batch_size=16)
    recipe = MemberRecipe(
        structure, hyperparameters, Thresholds(), Bootstrap.targets, 91701, A_MEMBER["THREADS"]
    )
    labelled = A_MEMBER["a_labelled_set"]()
    if "x" in labels:
        labelled.x[:] = labels["x"]
    labelled.write(root / "labelled")
    return TrainTask(recipe, root / "labelled", EnsembleFolder(root / "ensemble"))


def trained(task: TrainTask, members: list[int], executor) -> list[int]:
    """Train members; returns those that were reported, sorted."""
    records = []
    train_members(task, members, executor, records.append)
    assert all(record == task.folder.record(record.member) for record in records)
    return sorted(record.member for record in records)


def content(task: TrainTask) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (task.folder.path / "members").glob("0*")}


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Files of members that were trained in one process, one after the other."""
    task = a_task(tmp_path_factory.mktemp("serial"))
    assert trained(task, [0, 1, 2], Serial) == [0, 1, 2]
    return content(task)


def holder(lock: Path) -> int | None:
    """The process that holds a lock file, which has the file open."""
    try:
        inode = lock.stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] != "->" and fields[5].endswith(f":{inode}"):
                files = Path(f"/proc/{fields[4]}/fd").iterdir()
                if str(lock) in map(os.readlink, files):
                    return int(fields[4])
    except OSError:  # the lock was released, or the process has ended
        pass
    return None


@contextmanager
def killing_one(task: TrainTask) -> Iterator[list[int]]:
    """Kill a process that is training a member, once; yields its number."""
    killed: list[int] = []
    over = Event()

    def watch() -> None:
        while not killed and not over.wait(0.002):
            for lock in (task.folder.path / "members").glob(".*.lock"):
                if killed or lock.with_name(f"{lock.stem[1:]}.json").exists():
                    continue
                if pid := holder(lock):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = Thread(target=watch, daemon=True)
    thread.start()
    yield killed
    over.set()
    thread.join()


def test_order_and_threads(serial, tmp_path):
    task = a_task(tmp_path)
    assert trained(task, [2, 0, 1], partial(ThreadPoolExecutor, 2)) == [0, 1, 2]
    assert content(task) == serial


@pytest.mark.slow
def test_two_processes_one_of_which_is_killed(serial, tmp_path):
    task = a_task(tmp_path)
    trained(task, [0], Serial)  # an ensemble of one member, which is then extended
    with killing_one(task) as killed:
        assert trained(task, [1, 2], partial(LocalProcesses, 2)) == [1, 2]
    assert killed and killed != [os.getpid()]
    assert content(task) == serial


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


@pytest.mark.slow
def test_dask_workers_one_of_which_is_killed(serial, tmp_path, scheduler):
    address, workers = scheduler
    task = a_task(tmp_path)
    with killing_one(task) as killed:
        assert trained(task, [0, 1, 2], partial(dask, address)) == [0, 1, 2]
    (victim,) = [worker for worker in workers if worker.pid in killed]
    assert victim.wait(5) == -signal.SIGKILL
    assert content(task) == serial


def test_diverged_members_are_reported_one_by_one(serial, tmp_path):
    task = a_task(tmp_path, x=float("nan"))
    failures = {}
    with pytest.raises(InputError, match="no member could be trained: member 3 has no finite loss"):
        train_members(task, [3, 4], Serial, on_failure=failures.__setitem__)
    assert sorted(failures) == [3, 4] and failures[4].startswith("member 4 has no finite loss")
    # With a member that was trained before, failures are only reported.
    for name, data in serial.items():
        if name.startswith("0000"):
            (task.folder.path / "members" / name).write_bytes(data)
    train_members(task, [5], Serial, on_failure=failures.__setitem__)
    assert sorted(failures) == [3, 4, 5]
