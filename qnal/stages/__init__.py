"""Stages: one function per stage, which takes a configuration and returns a summary."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from qnal.config.schema import Config, Stage
from qnal.executors.local import Serial
from qnal.summary import Summary
from qnal.tracking import Recorder, Run


@dataclass(frozen=True)
class Job:
    """What a stage gets besides its configuration.

    Attributes:
        folder: the job's run folder, for figures, tables and summaries.
        recorder: records runs in MLflow.
        executor: makes an executor for tasks that use the given number of threads each.
        parent: the run of the pipeline that the stage is part of, if any.
    """

    folder: Path
    recorder: Recorder
    executor: Callable[[int], Executor] = Serial
    parent: Run | None = None


StageFunction = Callable[[Config, Job], Summary]


def stage_function(stage: Stage) -> StageFunction:
    """The function of a stage.

    Its module is imported on first use, because some stages import TensorFlow.
    """
    function: StageFunction = getattr(import_module(f"qnal.stages.{stage.value}"), stage.value)
    return function
