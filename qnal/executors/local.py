"""Executors of this machine: the job's own process, or several others."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from qnal.threads import available_cores

KILLED = 137  # exit status of a worker whose parent is no more


class Serial(Executor):
    """Does each unit in this process, at once."""

    def __init__(self, threads: int = 1) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn``; the future that comes back is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class LocalProcesses(ProcessPoolExecutor):
    """Processes of this machine, each with its share of the cores, or a GPU of its own.

    They are spawned, never forked: TensorFlow does not survive a fork. They end with their
    parent, however that ends, and at ``shutdown(wait=False)`` even in the midst of work.

    Args:
        max_workers: how many; None: as many as there are GPUs, or else as the cores allow.
        threads: with how many threads each one computes.
    """

    def __init__(self, max_workers: int | None = None, threads: int = 1) -> None:
        context = get_context("spawn")
        # Workers hold the reading end of a pipe into which nothing is ever written. Its writing
        # end is in this process alone, so it is closed with it, and that is what they wait for.
        self._lifeline, self._ends_with_us = context.Pipe(duplex=False)
        devices = gpus()
        self._devices = context.SimpleQueue() if len(devices) > 1 else None
        workers = local_workers(threads) if max_workers is None else max_workers
        if self._devices is not None:
            for k in range(workers):
                self._devices.put(devices[k % len(devices)])
        super().__init__(
            workers,
            mp_context=context,
            initializer=_begin,
            initargs=(self._lifeline, self._devices, workers > len(devices)),
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish, or without ``wait`` end them."""
        if not wait:
            self._ends_with_us.close()
        super().shutdown(wait, cancel_futures=cancel_futures)


def local(max_workers: int | None = None, threads: int = 1) -> Executor:
    """Processes of this machine, or this process where it has room for one only."""
    if max_workers is None and local_workers(threads) == 1:
        return Serial()
    return LocalProcesses(max_workers, threads)


def local_workers(threads: int) -> int:
    """How many processes suit this machine: one a GPU, or else one for every so many cores."""
    return len(gpus()) or max(1, available_cores() // threads)


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device for device in chosen.split(",") if device.strip() not in ("", "-1")]
    return [str(k) for k in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def _begin(lifeline: Connection, devices: "SimpleQueue[str] | None", shared: bool) -> None:
    """First thing in a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices.get()
        if shared:
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)  # until its other end is closed
    sys.stderr.flush()
    os._exit(KILLED)
