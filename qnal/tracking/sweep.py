"""The MLflow run of a sweep, to which each of its jobs adds a child run.

The first job that is not refused creates it, so that a sweep of mistakes leaves no trace in the
store. Its id is kept in the sweep's folder, which jobs in other processes can read.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from filelock import FileLock

from qnal.files import write_text
from qnal.tracking.recorder import LOCK_TAG, Recorder
from qnal.tracking.run import Run
from qnal.tracking.source import source_tags

FILE = "mlflow.json"
SWEEP_TAG = "qnal.sweep"


@dataclass
class SweepRecorder(Recorder):
    """The store of a job of a sweep: its stage's run is named by what is special about the job.

    Attributes:
        sweep: name of the sweep.
        label: name of the job's run.
        parent: id of the sweep's run.
    """

    sweep: str = ""
    label: str = ""
    parent: str | None = None

    @contextmanager
    def run(
        self, name: str, parent: Run | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """See :meth:`Recorder.run`."""
        all_tags = {SWEEP_TAG: self.sweep, **(tags or {})}
        is_the_jobs = parent is not None and parent.id == self.parent
        with super().run(self.label if is_the_jobs else name, parent, all_tags) as run:
            yield run


def joined(
    recorder: Recorder, folder: Path, label: str, lock: Path | None, title: str = "sweep"
) -> tuple[Recorder, Run | None]:
    """The recorder of a job of a sweep, and the sweep's run, which is created if need be.

    Args:
        recorder: the job's store.
        folder: the sweep's folder.
        label: name of the job's run.
        lock: a file that is locked while the sweep runs.
        title: name of the sweep's run.
    """
    if recorder.client is None:
        return recorder, None
    with FileLock(folder / ".mlflow.lock"):
        if (folder / FILE).exists():
            run_id = json.loads((folder / FILE).read_text())["run_id"]
        else:
            tags = source_tags() | {
                "mlflow.runName": title,
                "qnal.stage": "sweep",
                SWEEP_TAG: folder.name,
                LOCK_TAG: str(lock or recorder.lock),
            }
            created = recorder.call("create_run", recorder.experiment, tags=tags)
            if created is None:
                return recorder, None
            run_id = created.info.run_id
            content = {"run_id": run_id, "experiment": recorder.experiment, "uri": recorder.uri}
            write_text(folder / FILE, json.dumps(content) + "\n")
    given = {f.name: getattr(recorder, f.name) for f in fields(Recorder) if f.init}
    of_job = SweepRecorder(**given, sweep=folder.name, label=label, parent=run_id)
    of_job.failed = recorder.failed
    return of_job, Run(of_job, run_id)


@contextmanager
def closing(folder: Path, status: str) -> Iterator[Run]:
    """The run of a sweep whose jobs have ended; it ends with ``status`` after the block.

    Without a store, or if all jobs were refused, the run is one that records nothing.
    """
    if not (folder / FILE).exists():
        yield Run(Recorder(), None)
        return
    content = json.loads((folder / FILE).read_text())
    recorder = Recorder(experiment=content["experiment"], uri=content["uri"])
    from mlflow import MlflowClient

    try:
        recorder.client = MlflowClient(recorder.address)
        recorder.close_dead_runs()
    except Exception as error:  # stores raise anything
        recorder.fail(error)
    yield Run(recorder, content["run_id"])
    recorder.call("set_terminated", content["run_id"], status)
