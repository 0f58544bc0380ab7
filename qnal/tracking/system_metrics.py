"""Use of processor, memory, disk and network while a run lasts, as MLflow samples it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from qnal.tracking.run import Run

INTERVAL = 30  # seconds between samples; shorter stages have none
LOGGER = "mlflow.system_metrics.system_metrics_monitor"


@contextmanager
def sampled(run: Run) -> Iterator[None]:
    """Sample the machine within the block, from a thread; metrics are named ``system/…``.

    MLflow's variables MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL and
    MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING override the interval.
    """
    recorder = run.recorder
    if run.id is None or recorder.failed:
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # A store that fails is reported by the recorder.
    logging.getLogger(LOGGER).setLevel(logging.CRITICAL)
    monitor = SystemMetricsMonitor(run.id, INTERVAL, tracking_uri=recorder.address)
    monitor.start()
    try:
        yield
    finally:
        if not recorder.failed:  # it would wait for the store; its thread is a daemon
            monitor.finish()
