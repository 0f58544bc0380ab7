"""The MLflow store of a job, and the runs in it."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from qnal.config.schema import TrackingConfig, TrackingKind
from qnal.errors import ConfigError
from qnal.job_lock import is_held
from qnal.progress import say
from qnal.tracking.run import Run

LOCK_TAG = "qnal.lock"
PARENT_TAG = "mlflow.parentRunId"
REASON_LENGTH = 160  # characters of an error of the store that are printed
PAGE = 1000  # runs per request


@dataclass
class Recorder:
    """A tracking store; without a client nothing is recorded.

    Attributes:
        client: an ``MlflowClient``, or None.
        experiment: id of the experiment that the runs belong to.
        uri: tracking URI of the store.
        lock: a file that is locked while this job runs; runs are tagged with it.
        failed: whether the store has failed; nothing is recorded from then on.
    """

    client: Any = None
    experiment: str = ""
    uri: str | None = None
    lock: Path | None = None
    failed: bool = field(default=False, init=False)

    def how_to_look(self) -> str | None:
        """The command or address that shows the runs; None if they were not all recorded."""
        if self.uri is None or self.failed:
            return None
        is_server = self.uri.startswith(("http:", "https:"))
        return self.uri if is_server else f"mlflow ui --backend-store-uri {self.uri}"

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the client; returns None without one or after a failure."""
        if self.client is None or self.failed:
            return None
        try:
            return getattr(self.client, method)(*args, **kwargs)
        except Exception as error:  # stores raise anything
            self.fail(error)
            return None

    def fail(self, error: Exception) -> None:
        """Print a warning and stop recording."""
        self.failed = True
        reason = _first_line(error)
        if len(reason) > REASON_LENGTH:
            reason = f"{reason[:REASON_LENGTH]}…"
        say(
            f"warning: cannot write to the MLflow store {self.uri} ({reason}); continuing without "
            "tracking."
        )

    @contextmanager
    def run(
        self, name: str, parent: Run | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """A run that ends as FINISHED; as KILLED after Ctrl-C, or FAILED if the block raises."""
        all_tags = {"mlflow.runName": name, LOCK_TAG: str(self.lock), **(tags or {})}
        if parent is not None and parent.id:
            all_tags[PARENT_TAG] = parent.id
        created = self.call("create_run", self.experiment, tags=all_tags)
        run = Run(self, created.info.run_id if created else None)
        status = "FAILED"
        try:
            yield run
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            if run.id:
                self.call("set_terminated", run.id, status)

    def close_dead_runs(self) -> None:
        """End the runs of jobs that were killed; MLflow would show them as running forever."""
        for run in self._search("attributes.status = 'RUNNING'"):
            lock = Path(run.data.tags.get(LOCK_TAG, ""))
            # A lock in a folder that does not exist here belongs to a job on another machine.
            if lock.name and lock.parent.is_dir() and not is_held(lock):
                self.call("set_terminated", run.info.run_id, "KILLED")

    def adopt(self, run: Run, tags: Mapping[str, str]) -> None:
        """Make finished runs with these tags children of ``run`` if their parent was killed."""
        if run.id is None:
            return
        parents: dict[str, Any] = {}
        for child in self._search(f"attributes.status = 'FINISHED' and {_having(tags)}"):
            parent = child.data.tags.get(PARENT_TAG)
            if parent and parent not in parents:
                parents[parent] = self.call("get_run", parent)
            found = parents.get(parent)
            if found and found.info.status == "KILLED":
                self.call("set_tag", child.info.run_id, PARENT_TAG, run.id)

    def tagged(self, tags: Mapping[str, str], key: str) -> set[str]:
        """Values of the tag ``key`` among the runs with these tags that were not interrupted."""
        return {
            found.data.tags[key]
            for found in self._search(_having(tags))
            if found.info.status not in {"KILLED", "FAILED"} and key in found.data.tags
        }

    def _search(self, condition: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self.call(
                "search_runs", [self.experiment], condition, max_results=PAGE, page_token=token
            )
            found += page or []
            token = page.token if page else None
            if not token:
                return found


def open_recorder(config: TrackingConfig, work: Path, lock: Path | None = None) -> Recorder:
    """Open the store that the configuration names.

    ``sqlite`` is a database in the work folder, or the store of MLFLOW_TRACKING_URI if that is set;
    ``server`` is the store of ``tracking.uri`` or that variable; ``none`` records nothing.

    Args:
        config: the section ``tracking``.
        work: the work folder.
        lock: a locked file of this job. If given, the runs of jobs that no longer run are ended.

    Raises:
        ConfigError: ``tracking=server`` without an address.
    """
    if config.kind is TrackingKind.none:
        return Recorder()
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if config.kind is TrackingKind.server and not uri:
        raise ConfigError(
            "tracking=server needs tracking.uri=http://… or the variable MLFLOW_TRACKING_URI."
        )
    artifacts = None
    if not uri:
        uri, artifacts = f"sqlite:///{work / 'mlflow.db'}", (work / "mlartifacts").as_uri()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    recorder = Recorder(uri=uri, lock=lock)
    work.mkdir(parents=True, exist_ok=True)
    # MLflow fails if several processes create the same database.
    with _without_log_messages(), FileLock(work / ".mlflow.lock"):
        from mlflow import MlflowClient

        try:
            recorder.client = MlflowClient(uri)
            recorder.experiment = _experiment(recorder.client, config.experiment, artifacts)
        except Exception as error:  # stores raise anything
            recorder.fail(error)
        if lock is not None:
            recorder.close_dead_runs()
    return recorder


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    if found := client.get_experiment_by_name(name):
        return str(found.experiment_id)
    tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view for training runs
    return str(client.create_experiment(name, artifacts, tags))


def _having(tags: Mapping[str, str]) -> str:
    """The condition of a search for runs with these tags."""
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]


@contextmanager
def _without_log_messages() -> Iterator[None]:
    """Suppress the store's log messages when it starts; its errors are raised all the same."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # MLflow also logs each retry of a connection
    try:
        yield
    finally:
        logging.disable(level)
