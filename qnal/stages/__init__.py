"""One plain function a stage: typed configuration in, summary out."""

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
    """Where a stage puts what belongs to this job alone, and records it.

    Attributes:
        folder: the job's run folder.
        recorder: the tracking store.
        executor: makes what units of work are computed by, given with how many threads each.
        parent: run of the pipeline it belongs to, if any.
    """

    folder: Path
    recorder: Recorder
    executor: Callable[[int], Executor] = Serial
    parent: Run | None = None


StageFunction = Callable[[Config, Job], Summary]


def stage_function(stage: Stage) -> StageFunction:
    """The function of a stage; its module, and TensorFlow with it, is imported only now."""
    function: StageFunction = getattr(import_module(f"qnal.stages.{stage.value}"), stage.value)
    return function
