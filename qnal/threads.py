"""Number of cores and threads of a process."""

import os
from functools import lru_cache
from typing import Any

from qnal.errors import ConfigError


def available_cores() -> int:
    """Number of cores that this process may use, on every operating system."""
    if hasattr(os, "sched_getaffinity"):  # Linux: fewer than the machine has in a batch job
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(threads: int) -> None:
    """Set the number of threads of TensorFlow, which rounding may depend on.

    Raises:
        ConfigError: TensorFlow has already computed with another number of threads.
    """
    from qnal.tf import tf

    if tf.config.threading.get_intra_op_parallelism_threads() == threads:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        # 0 means one thread per core.
        used = tf.config.threading.get_intra_op_parallelism_threads() or available_cores()
        if used != threads:
            raise ConfigError(
                f"threads={threads}, but TensorFlow has already computed with {used} in this "
                "process; use one value of train.threads and infer.threads per process."
            ) from error


def numpy_threads(threads: int) -> Any:
    """Context manager that limits the threads of numpy's matrix products."""
    return _libraries().limit(limits=threads)


@lru_cache(maxsize=1)
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
