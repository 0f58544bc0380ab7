"""Runs a job of a sweep in a process of its own.

Launchers reuse their processes, and TensorFlow cannot be reset within one: its number of threads
is fixed by the first computation. A job that is killed also takes no other job along.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from qnal.executors.local import PARENT_ENDED

PATIENCE = 15  # seconds for a job to end its MLflow run after an interrupt
POLL = 1  # seconds between two looks at the parent of a worker
JOBLIB = "loky"  # start method in workers of joblib, which Python itself does not know


def run_apart(function: Callable[..., Any], *args: Any) -> None:
    """Call a function in a new process and wait for its end, however it ends.

    If this process is killed, the new one is interrupted.
    """
    process = multiprocessing.get_context("spawn").Process(target=_quiet, args=(function, *args))
    process.start()
    try:
        process.join()
    except BaseException:
        process.join(PATIENCE)  # Ctrl-C reaches both processes
        process.terminate()
        raise


@cache
def prepare_worker() -> None:
    """Prepare the process of a launcher for its first job; only workers of joblib need that.

    New processes take over the start method, and idle workers outlive a sweep that is killed.
    """
    if multiprocessing.get_start_method(allow_none=True) == JOBLIB:
        multiprocessing.set_start_method("spawn", force=True)
        threading.Thread(target=_end_with_sweep, args=(os.getppid(),), daemon=True).start()


def _end_with_sweep(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL)
    os._exit(PARENT_ENDED)


def _quiet(function: Callable[..., Any], *args: Any) -> None:
    signal.signal(signal.SIGINT, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function(*args)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # another one would stop the end of the MLflow run
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 (this process was started by another one)
    parent.join()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(PATIENCE)
    os._exit(PARENT_ENDED)
