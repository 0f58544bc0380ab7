"""With how many threads a process computes."""

import os
from functools import lru_cache
from typing import Any

from qnal.errors import ConfigError


def available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(threads: int, key: str) -> None:
    """Fix TensorFlow's threads in this process, on which the last bits of an answer may depend.

    Args:
        threads: how many.
        key: of the configuration that says so.

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
        # 0 stands for as many as there are processors.
        used = tf.config.threading.get_intra_op_parallelism_threads()
        used = used or available_cores()
        if used != threads:
            raise ConfigError(
                f"{key}={threads}, but this process has already computed with {used}; use one "
                "value in all stages and jobs of a process."
            ) from error


def numpy_threads(threads: int) -> Any:
    """Context in which numpy's matrix products take so many threads: workers share the cores."""
    return _libraries().limit(limits=threads)


@lru_cache(maxsize=1)
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
