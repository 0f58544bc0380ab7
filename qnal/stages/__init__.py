"""Stages: one function per stage, which takes a configuration and returns a summary."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

from qnal.config.schema import Config, Stage
from qnal.executors.local import Serial
from qnal.summary import Summary
from qnal.tracking import Recorder, Run
from qnal.tracking.system_metrics import sampled

# Stages that may take hours: the use of the machine is recorded with their runs.
LONG = (Stage.train, Stage.infer, Stage.loop)


@dataclass(frozen=True)
class Job:
    """What a stage gets besides its configuration.

    Attributes:
        folder: the job's run folder, for figures, tables and summaries.
        recorder: records runs in MLflow.
        executor: makes an executor for tasks that use the given number of threads each.
        parent: the run of the pipeline that the stage is part of, if any.
        overrides: what the user set on the command line, as ``KEY=VALUE``.
        sets_latest: whether the results become the latest ones of the work folder.
    """

    folder: Path
    recorder: Recorder
    executor: Callable[[int], Executor] = Serial
    parent: Run | None = None
    overrides: tuple[str, ...] = ()
    sets_latest: bool = True

    @contextmanager
    def run(
        self, config: Config, stage: Stage, name: str, tags: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """The run of a stage, with its configuration recorded.

        Args:
            config: the configuration.
            stage: the stage.
            name: what the run does, such as ``train 8 × QuasarNET-4, 600 labels``.
            tags: further tags.
        """
        all_tags = {"qnal.stage": str(stage), "qnal.data": str(config.data.kind), **(tags or {})}
        with self.recorder.run(name, self.parent, all_tags) as run:
            run.config(asdict(config), stage, self.overrides)
            with sampled(run) if stage in LONG else nullcontext():
                yield run

    def command(self, stage: Stage, *settings: str) -> str:
        """The command of another stage with the overrides of this job, for the note of a run.

        Args:
            stage: the stage.
            settings: further overrides, which replace those of the same key.
        """
        replaced = {"stage", *map(_key, settings)}
        kept = [o for o in self.overrides if _key(o) not in replaced and not _is_hydras(o)]
        return shlex.join(["qnal", f"stage={stage}", *kept, *settings])


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition("@")[0]


def _is_hydras(override: str) -> bool:
    return _key(override).startswith(("hydra.", "hydra/"))


StageFunction = Callable[[Config, Job], Summary]


def stage_function(stage: Stage) -> StageFunction:
    """The function of a stage.

    Its module is imported on first use, because some stages import TensorFlow.
    """
    function: StageFunction = getattr(import_module(f"qnal.stages.{stage.value}"), stage.value)
    return function
