"""Executors of many machines, through Dask: a scheduler that runs already, or jobs under Slurm.

Dask gives a unit whose worker died to another one, and gives it up after a few deaths. Folders
have to be on a disk that all machines share.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from importlib import import_module
from shutil import which
from typing import Any

from qnal.errors import ConfigError
from qnal.executors.local import local_workers
from qnal.executors.tasks import LostError

CONNECT = 10  # seconds to wait for a scheduler
SOON = "100ms"  # a task's share of a worker: jobs are asked for as long as there are tasks without


class DaskExecutor(Executor):
    """Units as tasks of a Dask client; closes it at shutdown, and the cluster if it is ours.

    Args:
        client: a ``distributed.Client``.
        cluster: what to close with it.
    """

    def __init__(self, client: Any, cluster: Any = None) -> None:
        self.client = client
        self.cluster = cluster
        self.tasks = client.get_executor(pure=False)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have ``fn`` called by a worker."""
        future: Future[Any] = Future()
        task = self.tasks.submit(fn, *args, **kwargs)
        task.add_done_callback(partial(_hand_over, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what is under way, or cancel it, and let go of the workers."""
        if self.client is None:
            return
        self.tasks.shutdown(wait)
        self.client.close()
        if self.cluster is not None:
            self.cluster.close()
        self.client = None


def _hand_over(future: Future[Any], task: Future[Any]) -> None:
    """The outcome of a task, in the terms of :mod:`qnal.executors.local`."""
    if task.cancelled():
        future.set_exception(BrokenExecutor("the scheduler is gone, or has let go of the task"))
    elif error := task.exception():
        killed = type(error).__name__ == "KilledWorker"
        future.set_exception(LostError(_deaths(error)) if killed else error)
    else:
        future.set_result(task.result())


def _deaths(error: BaseException) -> str:
    deaths = getattr(error, "allowed_failures", 0) + 1
    return f"its worker died {deaths} times; was it killed, or out of memory?"


def dask(
    address: str | None = None, max_workers: int | None = None, threads: int = 1
) -> DaskExecutor:
    """The workers of a Dask scheduler.

    Args:
        address: of one that runs, such as ``tcp://host:8786``; None: one of our own, with
            workers on this machine.
        max_workers: how many workers of our own; None: as many as the cores allow.
        threads: with how many threads each one computes.

    Raises:
        ConfigError: Dask is not installed, or nothing answers at the address.
    """
    distributed = _extra("distributed")
    if address is None:
        count = local_workers(threads) if max_workers is None else max_workers
        if count < 1:
            raise ConfigError(f"executor.max_workers={count} cannot be used; it takes 1 or more.")
        cluster = distributed.LocalCluster(
            n_workers=count, threads_per_worker=1, dashboard_address=":0"
        )
        return DaskExecutor(distributed.Client(cluster), cluster)
    try:
        return DaskExecutor(distributed.Client(address, timeout=CONNECT))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"executor.address={address}: no Dask scheduler answers there; start one with `dask "
            "scheduler`, or leave the address out for one of this job's own."
        ) from error


def slurm(
    jobs: int,
    cores: int,
    memory: str,
    walltime: str,
    queue: str | None = None,
    account: str | None = None,
    interface: str | None = None,
    directives: Sequence[str] = (),
    prologue: Sequence[str] = (),
    logs: str | None = None,
    threads: int = 1,
) -> DaskExecutor:
    """Workers in jobs of a Slurm queue: as many as there is work for, up to ``jobs``.

    Args:
        jobs: how many at most.
        cores, memory, walltime: of one job, as Slurm and dask-jobqueue understand them.
        queue, account: partition and account; None: the site's own.
        interface: network interface on which the jobs reach this process; None: the usual one.
        directives: further options of ``sbatch``, such as ``--constraint=cpu``.
        prologue: lines of shell before the worker starts, such as ``module load python``.
        logs: folder for what the jobs print; None: the current one.
        threads: with how many threads each worker computes; a job has ``cores // threads``.

    Raises:
        ConfigError: dask-jobqueue or Slurm is not installed, or a number is out of bounds.
    """
    if jobs < 1 or cores < 1:
        raise ConfigError(f"executor.jobs={jobs}, executor.cores={cores}: both take 1 or more.")
    if which("sbatch") is None:
        raise ConfigError(
            "executor=slurm needs sbatch, which is not here; start the job on a login node of the "
            "cluster, or take executor=local."
        )
    cluster = _extra("dask_jobqueue").SLURMCluster(
        cores=cores,
        processes=max(1, cores // threads),
        memory=memory,
        walltime=walltime,
        queue=queue,
        account=account,
        interface=interface,
        job_extra_directives=list(directives),
        job_script_prologue=list(prologue),
        log_directory=logs,
        worker_extra_args=["--nthreads", "1"],  # one unit at a time, with the cores it has
    )
    cluster.adapt(minimum_jobs=0, maximum_jobs=jobs, target_duration=SOON)
    return DaskExecutor(_extra("distributed").Client(cluster), cluster)


def _extra(name: str) -> Any:
    try:
        module = import_module(name)
        # Every connection made or closed is told to the log otherwise.
        logging.getLogger("distributed").setLevel(logging.WARNING)
        return module
    except ImportError as error:
        raise ConfigError(
            f"executor: {error.name or name} is not installed; pip install 'qnal[dask]'."
        ) from error
