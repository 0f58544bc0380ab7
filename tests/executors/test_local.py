"""Local executors: each unit is yielded once, even if workers die."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace

import pytest

from qnal.errors import ConfigError
from qnal.executors.local import LocalProcesses, Serial, local, local_workers
from qnal.executors.tasks import LOSSES, LostError, completed, made

pytestmark = pytest.mark.process

HERE = Path(__file__).parent
TWO = partial(LocalProcesses, 2)


@pytest.fixture
def squares(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(HERE)  # spawned workers get the same path
    from units_of_work import Squares

    return partial(Squares, tmp_path)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_gone(pids: set[int], limit: float = 10) -> bool:
    deadline = time.monotonic() + limit
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


@pytest.mark.parametrize("executor", [Serial, partial(ThreadPoolExecutor, 3), TWO])
def test_every_unit_comes_back_once(squares, executor):
    work = squares()
    outcomes = list(completed(executor, work, range(30)))
    assert sorted(unit for unit, _ in outcomes) == list(range(30))
    results = dict(outcomes)
    assert isinstance(results.pop(13), ValueError)
    assert results == {k: k**2 for k in range(30) if k != 13}
    assert all(work.times(k) == 1 for k in range(30))


def test_nothing_to_do_starts_nothing():
    assert list(completed(lambda: pytest.fail("an executor was made"), str, [])) == []


def test_serial_yields_each_unit_before_the_next_starts(squares, tmp_path):
    with closing(completed(Serial, squares(), range(5))) as results:
        for seen, (unit, square) in enumerate(results, start=1):
            assert square == unit**2
            assert len(list(tmp_path.iterdir())) == seen


def test_a_limited_number_of_units_is_submitted():
    taken = []

    class Units(list):
        def __iter__(self):
            for unit in list.__iter__(self):
                taken.append(unit)
                yield unit

    with closing(completed(partial(ThreadPoolExecutor, 2), abs, Units(range(100)))) as results:
        for seen, _ in enumerate(results):
            assert len(taken) <= seen + 2 * 2 + 1


def test_processes_are_spawned_and_share_the_work(squares):
    work = squares()
    assert len(dict(completed(TWO, work, range(20)))) == 20
    assert len(work.pids()) == 2 and os.getpid() not in work.pids()
    assert all_gone(work.pids())


def test_one_unit_needs_no_process(squares):
    work = squares()
    assert list(completed(TWO, work, [7])) == [(7, 49)]
    assert work.pids() == {os.getpid()}


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_lost_worker_loses_no_unit(squares, deaths):
    work = squares(deadly=3, deaths=deaths)
    outcomes = list(completed(TWO, work, range(8)))
    assert sorted(outcomes) == [(k, k**2) for k in range(8)]
    assert work.times(3) == deaths + 1


def test_a_unit_that_kills_its_workers_is_given_up_alone(squares):
    work = squares(deadly=3, deaths=99)
    results = dict(completed(TWO, work, range(8)))
    lost = results.pop(3)
    assert isinstance(lost, LostError) and "died 3 times" in str(lost)
    assert work.times(3) == LOSSES
    assert results == {k: k**2 for k in range(8) if k != 3}


def test_leaving_the_loop_ends_the_workers():
    start = time.monotonic()
    with closing(completed(TWO, time.sleep, [0.1, 60, 61, 62])) as results:
        next(results)
        workers = {process.pid for process in active_children()}
        assert len(workers) == 2
    assert time.monotonic() - start < 20
    assert all_gone(workers)


def child_pids(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


PARENT = """
import signal
import time
from contextlib import closing
from functools import partial
from qnal.executors.local import LocalProcesses
from qnal.executors.tasks import completed
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    with closing(completed(partial(LocalProcesses, 2), time.sleep, [0.1, 0.2, 60, 61])) as results:
        for unit, _ in results:
            print(unit, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path, how):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert parent.stdout is not None
        assert {parent.stdout.readline(), parent.stdout.readline()} == {"0.1\n", "0.2\n"}
        workers = {int(pid) for pid in child_pids(parent.pid)}
        assert len(workers) >= 2
        parent.send_signal(how)
        assert parent.wait(10) != 0
    assert all_gone(workers)


def test_local_takes_the_cores_or_the_gpus(monkeypatch):
    monkeypatch.setattr("qnal.executors.local.available_cores", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for threads, workers in ((1, 8), (3, 2), (5, 1), (99, 1)):
        assert local_workers(threads) == workers
    assert isinstance(local(threads=8), Serial)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert local_workers(1) == 2


def test_each_worker_has_its_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    variables = ["CUDA_VISIBLE_DEVICES"] * 6
    seen = [device for _, device in completed(TWO, os.getenv, variables)]
    assert len(seen) == 6 and set(seen) <= {"3", "5"}


@pytest.mark.parametrize(
    ("executor", "words"),
    [
        (partial(ThreadPoolExecutor, 0), "max_workers must be greater than 0"),
        (partial(local, workers=2), "unexpected keyword argument 'workers'"),
        (partial(SimpleNamespace, a=1), "SimpleNamespace is not a concurrent.futures.Executor"),
    ],
)
def test_executors_that_cannot_be_made(executor, words):
    with pytest.raises(ConfigError, match=r"^executor: .*\.$") as refused:
        made(executor)
    assert words in str(refused.value)
