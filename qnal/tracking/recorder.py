"""The MLflow store of a job, and the runs in it."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from qnal.config.tracking_keys import TrackingConfig, TrackingKind
from qnal.errors import ConfigError
from qnal.job_lock import is_held
from qnal.progress import say
from qnal.tracking.moved_store import ARTIFACTS, follow, settle
from qnal.tracking.run import Run
from qnal.tracking.source import source_tags

LOCK_TAG = "mlflow.qnal.lock"  # the UI does not show tags that begin with "mlflow."
PARENT_TAG = "mlflow.parentRunId"
REASON_LENGTH = 160  # characters of an error of the store that are printed
PAGE = 1000  # runs per request
EXPERIMENT = "qnal"  # name of the experiment, if nothing else names one
SQLITE = "sqlite:///"
SQLITE_TIMEOUT = 60  # seconds that a job waits while others write to the database


@dataclass
class Recorder:
    """A tracking store; without a client nothing is recorded.

    Attributes:
        client: an ``MlflowClient``, or None.
        experiment: id of the experiment that the runs belong to.
        uri: tracking URI of the store.
        lock: a file that is locked while this job runs; runs are tagged with it.
        failed: whether the store has failed; nothing is recorded from then on.
        failure: the sentence that says so.
    """

    client: Any = None
    experiment: str = ""
    uri: str | None = None
    lock: Path | None = None
    failed: bool = field(default=False, init=False)
    failure: str | None = field(default=None, init=False)

    @property
    def address(self) -> str | None:
        """The tracking URI with which clients wait while other processes write."""
        return None if self.uri is None else _patient(self.uri)

    def how_to_look(self) -> str | None:
        """The command or address that shows the runs; None if they were not all recorded."""
        if self.uri is None or self.failed:
            return None
        return self.uri if _is_server(self.uri) else f"mlflow ui --backend-store-uri {self.uri}"

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
        self.failure = (
            f"cannot write to the MLflow store {self.uri} ({reason}); continuing without tracking. "
            "The same command records what is missing when the store can be reached."
        )
        say(f"warning: {self.failure}")

    @contextmanager
    def run(
        self, name: str, parent: Run | None = None, tags: Mapping[str, str] | None = None
    ) -> Iterator[Run]:
        """A run that ends as FINISHED; as KILLED after Ctrl-C, or FAILED if the block raises."""
        all_tags = {"mlflow.runName": name, LOCK_TAG: str(self.lock), **(tags or {})}
        if self.client is not None:
            all_tags = source_tags() | all_tags
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
            if self.lock is not None and self._is_in_work_folder():
                lock = self.lock.parent / lock.name  # the work folder may have been moved
            # A lock in a folder that does not exist here belongs to a job on another machine.
            if lock.name and lock.parent.is_dir() and not is_held(lock):
                self.call("set_terminated", run.info.run_id, "KILLED")

    def _is_in_work_folder(self) -> bool:
        return self.lock is not None and self.uri == default_store(self.lock.parents[1])

    def remove_unfinished(self, tags: Mapping[str, str]) -> None:
        """Delete runs with these tags that were interrupted, before they are recorded again."""
        for run in self._search(_having(tags)):
            if run.info.status in {"KILLED", "FAILED"}:
                self.call("delete_run", run.info.run_id)

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


def default_store(work: Path) -> str:
    """URI of the database in a work folder."""
    return f"{SQLITE}{work / 'mlflow.db'}"


def open_recorder(config: TrackingConfig, work: Path, lock: Path | None = None) -> Recorder:
    """Open the store that the configuration names.

    ``sqlite`` is a database in the work folder, or the store of MLFLOW_TRACKING_URI if that is set;
    ``server`` is the store of ``tracking.uri`` or that variable; ``none`` records nothing. The
    experiment is ``tracking.experiment``, or MLFLOW_EXPERIMENT_NAME, or "qnal".

    Args:
        config: the section ``tracking``.
        work: the work folder.
        lock: a locked file of this job. If given, the runs of jobs that no longer run are ended.

    Raises:
        ConfigError: ``tracking=server`` without an address, or an experiment whose artifacts have
            no fixed place.
    """
    if config.kind is TrackingKind.none:
        return Recorder()
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI")
    if config.kind is TrackingKind.server and not uri:
        raise ConfigError(
            "tracking=server needs tracking.uri=http://… or the variable MLFLOW_TRACKING_URI."
        )
    uri = uri or default_store(work)
    name = config.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    recorder = Recorder(uri=uri, lock=lock)
    work.mkdir(parents=True, exist_ok=True)
    database = _database(uri)
    folder = work if database is None else database.parent
    if database is not None and not database.exists() and uri != default_store(work):
        say(f"making a new MLflow store: {uri}")  # the name may be that of a folder that was moved
    # MLflow fails if several processes create the same database.
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with without_log_messages(), FileLock(folder / ".mlflow.lock"):
            from mlflow import MlflowClient

            if database is not None:
                follow(database)
            recorder.client = MlflowClient(_patient(uri))
            artifacts = None if _is_server(uri) else (folder / ARTIFACTS).as_uri()
            recorder.experiment = _experiment(recorder.client, name, artifacts, database)
            if lock is not None:
                recorder.close_dead_runs()
    except ConfigError:
        raise
    except Exception as error:  # stores raise anything
        recorder.fail(error)
    return recorder


def _is_server(uri: str) -> bool:
    """Whether a store knows itself where to put artifacts."""
    return uri.startswith(("http:", "https:", "databricks"))


def _database(uri: str) -> Path | None:
    """The file of an sqlite store; None for other stores."""
    if not uri.startswith(SQLITE):
        return None
    return Path(uri.removeprefix(SQLITE).partition("?")[0]).absolute()


def _patient(uri: str) -> str:
    """The URI of a store that waits while other processes write to it."""
    return f"{uri}?timeout={SQLITE_TIMEOUT}" if uri.startswith(SQLITE) and "?" not in uri else uri


def _experiment(client: Any, name: str, artifacts: str | None, database: Path | None) -> str:
    """Id of an experiment, which is created if need be."""
    from mlflow.entities import ViewType

    if found := client.get_experiment_by_name(name):
        known = str(found.experiment_id)
        if database is not None:
            runs = client.search_runs([known], run_view_type=ViewType.ALL, max_results=1)
            settle(database, known, found.artifact_location, is_used=bool(runs))
        return known
    tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI's view for training runs
    return str(client.create_experiment(name, artifacts, tags))


def _having(tags: Mapping[str, str]) -> str:
    """The condition of a search for runs with these tags."""
    return " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [repr(error)])[0]


@contextmanager
def without_log_messages() -> Iterator[None]:
    """Suppress log messages of MLflow; its errors are raised all the same."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # MLflow also logs each retry of a connection
    try:
        yield
    finally:
        logging.disable(level)
