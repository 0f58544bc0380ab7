"""Executors of this machine: the job's own process, or several worker processes."""

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

PARENT_ENDED = 137  # exit status of a worker that ends because its parent has ended


class Serial(Executor):
    """Runs each task in this process, when it is submitted."""

    def __init__(self, threads: int = 1) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` and return its outcome as a future that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class LocalProcesses(ProcessPoolExecutor):
    """Worker processes, each with a share of the cores or a GPU of its own.

    Workers are spawned, because TensorFlow does not work in forked processes. They end when their
    parent ends, even if it is killed, and with ``shutdown(wait=False)`` even during a task.

    Args:
        max_workers: number of workers; None: one per GPU, or as many as the cores allow.
        threads: number of threads per worker.
    """

    def __init__(self, max_workers: int | None = None, threads: int = 1) -> None:
        context = get_context("spawn")
        # Nothing is written to this pipe. Only this process has its writing end, so the pipe is
        # closed when this process ends, and workers wait for that at the reading end.
        self._parent_ends, self._parent_runs = context.Pipe(duplex=False)
        devices = gpus()
        self._devices = context.SimpleQueue() if len(devices) > 1 else None
        workers = local_workers(threads) if max_workers is None else max_workers
        if self._devices is not None:
            for k in range(workers):
                self._devices.put(devices[k % len(devices)])
        super().__init__(
            workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(self._parent_ends, self._devices, workers > len(devices)),
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers finish their tasks, or end them at once if ``wait`` is false."""
        if not wait:
            self._parent_runs.close()
        super().shutdown(wait, cancel_futures=cancel_futures)


def local(max_workers: int | None = None, threads: int = 1) -> Executor:
    """Worker processes, or this process if the machine has room for one worker only."""
    if max_workers is None and local_workers(threads) == 1:
        return Serial()
    return LocalProcesses(max_workers, threads)


def local_workers(threads: int) -> int:
    """Number of workers for this machine: one per GPU, or one per ``threads`` cores."""
    return len(gpus()) or max(1, available_cores() // threads)


def gpus() -> list[str]:
    """The GPUs that this process may use, as in CUDA_VISIBLE_DEVICES."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device for device in chosen.split(",") if device.strip() not in ("", "-1")]
    return [str(k) for k in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def _start_worker(
    parent_ends: Connection, devices: "SimpleQueue[str] | None", shared: bool
) -> None:
    """Called first in each worker.

    Args:
        parent_ends: closed at its other end when the parent ends.
        devices: the GPU of each worker.
        shared: whether workers share a GPU.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices.get()
        if shared:
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    threading.Thread(target=_end_with_parent, args=(parent_ends,), daemon=True).start()


def _end_with_parent(parent_ends: Connection) -> None:
    parent_ends.poll(None)  # returns when the other end is closed
    sys.stderr.flush()
    os._exit(PARENT_ENDED)
