"""Executors for several machines, through Dask: a running scheduler, or jobs of a Slurm queue.

If a worker dies, Dask runs its tasks on another worker, and gives a task up after a few deaths.
All folders must be on a file system that the machines share.
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
# Dask starts workers until it expects all waiting tasks to be done within this time; a short time
# makes it start one worker per waiting task, up to the limit.
TARGET_DURATION = "100ms"


class DaskExecutor(Executor):
    """Runs tasks on the workers of a Dask client.

    Args:
        client: a ``distributed.Client``; closed at shutdown.
        cluster: a Dask cluster to close at shutdown, if any.
    """

    def __init__(self, client: Any, cluster: Any = None) -> None:
        self.client = client
        self.cluster = cluster
        self.tasks = client.get_executor(pure=False)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call ``fn`` in a worker."""
        future: Future[Any] = Future()
        task = self.tasks.submit(fn, *args, **kwargs)
        task.add_done_callback(partial(_set_outcome, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for running tasks or cancel them, and release the workers."""
        if self.client is None:
            return
        self.tasks.shutdown(wait)
        self.client.close()
        if self.cluster is not None:
            self.cluster.close()
        self.client = None


def _set_outcome(future: Future[Any], task: Future[Any]) -> None:
    """Set the outcome of a Dask task, with the exceptions that :mod:`.tasks` expects."""
    if task.cancelled():
        future.set_exception(BrokenExecutor("the scheduler has ended or cancelled the task"))
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
    """Workers of a Dask scheduler.

    Args:
        address: of a running scheduler, such as ``tcp://host:8786``; None: start one, with
            workers on this machine.
        max_workers: number of workers to start; None: as many as the cores allow.
        threads: number of threads per worker.

    Raises:
        ConfigError: Dask is not installed, or there is no scheduler at the address.
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
            f"executor.address={address}: no Dask scheduler answers; start one with `dask "
            "scheduler`, or leave the address out to start one for this job."
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
    """Workers in jobs of a Slurm queue: as many as there are tasks for, up to ``jobs``.

    Args:
        jobs: largest number of jobs.
        cores, memory, walltime: of one job, in the notation of Slurm and dask-jobqueue.
        queue, account: partition and account; None: the site's default.
        interface: network interface through which jobs connect to this process; None: the default.
        directives: further options of ``sbatch``, such as ``--constraint=cpu``.
        prologue: shell commands to run before a worker starts, such as ``module load python``.
        logs: folder for the output of jobs; None: the current folder.
        threads: number of threads per worker; a job runs ``cores // threads`` workers.

    Raises:
        ConfigError: dask-jobqueue or Slurm is not installed, or a number is not valid.
    """
    if jobs < 1 or cores < 1:
        raise ConfigError(f"executor.jobs={jobs}, executor.cores={cores}: both take 1 or more.")
    if which("sbatch") is None:
        raise ConfigError(
            "executor=slurm needs sbatch, which is not installed here; start the job on a login "
            "node of the cluster, or choose executor=local."
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
        worker_extra_args=["--nthreads", "1"],  # one task at a time
    )
    cluster.adapt(minimum_jobs=0, maximum_jobs=jobs, target_duration=TARGET_DURATION)
    return DaskExecutor(_extra("distributed").Client(cluster), cluster)


def _extra(name: str) -> Any:
    try:
        module = import_module(name)
        # Otherwise each new or closed connection is logged.
        logging.getLogger("distributed").setLevel(logging.WARNING)
        return module
    except ImportError as error:
        raise ConfigError(
            f"executor: {error.name or name} is not installed; pip install 'qnal[dask]'."
        ) from error
