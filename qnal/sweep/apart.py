"""Runs a job of a sweep in a process of its own.

Launchers reuse their processes, and TensorFlow cannot be reset within one: its number of threads
is fixed by the first computation. A job that is killed also takes no other job along.
"""

from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

PATIENCE = 15  # seconds for a job to end its MLflow run after Ctrl-C


def run_apart(function: Callable[..., Any], *args: Any) -> None:
    """Call a function in a new process and wait for its end, however it ends."""
    process = get_context("spawn").Process(target=_quiet, args=(function, *args))
    process.start()
    try:
        process.join()
    except BaseException:
        process.join(PATIENCE)  # Ctrl-C reaches both processes
        process.terminate()
        raise


def _quiet(function: Callable[..., Any], *args: Any) -> None:
    try:
        function(*args)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
