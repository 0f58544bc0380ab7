"""MLflow: the only module that knows it.

All goes through explicit run ids, never through MLflow's active run, so that nothing leaks from
one job of a multirun into the next. If the store fails, the science goes on: the failure is said
once, and the rest of the job is not recorded.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from matplotlib.figure import Figure

from qnal.config.schema import TrackingConfig, TrackingKind
from qnal.errors import ConfigError, InputError
from qnal.job_lock import is_held
from qnal.progress import say

LOCK_TAG = "qnal.lock"
PARAM_LIMIT = 6000  # characters that MLflow takes in one value
BATCH_METRICS, BATCH_PARAMS = 1000, 100
FIGURE_DPI = 150


@dataclass
class Recorder:
    """A tracking store, or none.

    Attributes:
        client: MLflow's client; None where nothing is recorded.
        experiment: id of the experiment that runs belong to.
        uri: the store, for the user interface.
        lock: held as long as this job lives; runs are tagged with it.
    """

    client: Any = None
    experiment: str = ""
    uri: str | None = None
    lock: Path | None = None
    failed: bool = field(default=False, init=False)

    def how_to_look(self) -> str | None:
        """How a person sees what was recorded; None where nothing was, or not all of it."""
        if self.uri is None or self.failed:
            return None
        local = not self.uri.startswith(("http:", "https:"))
        return f"mlflow ui --backend-store-uri {self.uri}" if local else self.uri

    def attempt(self, action: Callable[[Any], Any]) -> Any:
        """Do something with the client; after a failure, nothing any more."""
        if self.client is None or self.failed:
            return None
        try:
            return action(self.client)
        except Exception as error:  # whatever a store may raise
            self.failed = True
            reason = str(error).strip().splitlines()[:1] or [repr(error)]
            said = f"{reason[0][:160]}…" if len(reason[0]) > 160 else reason[0]
            say(f"warning: {self.uri} takes no records ({said}); going on without tracking.")
            return None

    @contextmanager
    def run(
        self, name: str, parent: "Run | None" = None, tags: Mapping[str, str] | None = None
    ) -> Iterator["Run"]:
        """A run that ends as FINISHED, or as FAILED or, by Ctrl-C, KILLED if the block raises."""
        all_tags = {"mlflow.runName": name, LOCK_TAG: str(self.lock), **(tags or {})}
        if parent is not None and parent.id:
            all_tags["mlflow.parentRunId"] = parent.id
        made = self.attempt(lambda c: c.create_run(self.experiment, tags=all_tags))
        run = Run(self, made.info.run_id if made else None)
        try:
            yield run
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            self.attempt(lambda c: run.id and c.set_terminated(run.id, status))
            raise
        self.attempt(lambda c: run.id and c.set_terminated(run.id, "FINISHED"))

    def close_dead_runs(self) -> None:
        """End the runs of jobs that were killed, which MLflow would show as running for ever."""
        for run in self._search("attributes.status = 'RUNNING'"):
            lock = Path(run.data.tags.get(LOCK_TAG, ""))
            # A lock in a folder that is not here belongs to another machine; it may well live.
            if lock.name and lock.parent.is_dir() and not is_held(lock):
                self.attempt(partial(_terminate, run.info.run_id, "KILLED"))

    def adopt(self, run: "Run", tags: Mapping[str, str]) -> None:
        """Make finished runs of these tags children of ``run`` if their own parent was killed."""
        which = " and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items())
        parents: dict[str, Any] = {}
        for child in self._search(f"attributes.status = 'FINISHED' and {which}"):
            parent = child.data.tags.get("mlflow.parentRunId")
            if parent and parent not in parents:
                parents[parent] = self.attempt(partial(_get_run, parent))
            found = parents.get(parent)
            if run.id and found and found.info.status == "KILLED":
                self.attempt(partial(_set_parent, child.info.run_id, run.id))

    def tagged(self, tags: Mapping[str, str], key: str) -> set[str]:
        """Values of a tag among the runs of these tags that have finished or are under way."""
        which = " and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items())
        ended = {"KILLED", "FAILED"}
        return {
            found.data.tags[key]
            for found in self._search(which)
            if found.info.status not in ended and key in found.data.tags
        }

    def _search(self, what: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self.attempt(partial(_search_runs, self.experiment, what, token))
            found += page or []
            token = page.token if page else None
            if not token:
                return found


@dataclass(frozen=True)
class Run:
    """One run of a recorder; its methods do nothing where nothing is recorded."""

    recorder: Recorder
    id: str | None

    def _do(self, action: Callable[[Any, str], Any]) -> None:
        if (run := self.id) is not None:
            self.recorder.attempt(lambda client: action(client, run))

    def config(self, config: Mapping[str, Any]) -> None:
        """The resolved configuration: as an artifact, and flattened as params."""
        from mlflow.entities import Param

        flat = {k: str(v)[:PARAM_LIMIT] for k, v in flattened(config).items()}
        params = [Param(k, v) for k, v in flat.items()]
        for i in range(0, len(params), BATCH_PARAMS):
            batch = params[i : i + BATCH_PARAMS]
            self._do(partial(_log_params, batch))
        self.dictionary(config, "config.yaml")

    def metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Numbers; undefined ones are left out."""
        self._log({k: [v] for k, v in metrics.items() if v is not None})

    def curves(self, curves: Mapping[str, Sequence[float]]) -> None:
        """Numbers by epoch, counted from 1."""
        self._log(curves, first=1)

    def series(self, name: str, values: Mapping[int, float]) -> None:
        """One number by something else that is counted, such as members."""
        self._log_steps({name: values})

    def _log(self, series: Mapping[str, Sequence[float]], first: int = 0) -> None:
        self._log_steps({name: dict(enumerate(v, start=first)) for name, v in series.items()})

    def _log_steps(self, series: Mapping[str, Mapping[int, float]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, int(step))
            for name, values in series.items()
            for step, value in values.items()
        ]
        for i in range(0, len(metrics), BATCH_METRICS):
            batch = metrics[i : i + BATCH_METRICS]
            self._do(partial(_log_metrics, batch))

    def file(self, path: Path, folder: str | None = None) -> None:
        """A file as an artifact."""
        self._do(lambda c, run: c.log_artifact(run, str(path), folder))

    def dictionary(self, content: Mapping[str, Any], name: str) -> None:
        """A mapping as an artifact; the ending of ``name`` chooses JSON or YAML."""
        plain = json.loads(json.dumps(content, default=str))
        self._do(lambda c, run: c.log_dict(run, plain, name))

    def figure(self, figure: Figure, path: Path) -> None:
        """Save a figure and log it under ``figures``."""
        save_figure(figure, path)
        self.file(path, "figures")


def _terminate(run: str, status: str, client: Any) -> None:
    client.set_terminated(run, status)


def _get_run(run: str, client: Any) -> Any:
    return client.get_run(run)


def _set_parent(child: str, parent: str, client: Any) -> None:
    client.set_tag(child, "mlflow.parentRunId", parent)


def _search_runs(experiment: str, what: str, token: str | None, client: Any) -> Any:
    return client.search_runs([experiment], what, max_results=1000, page_token=token)


def _log_params(batch: list[Any], client: Any, run: str) -> None:
    client.log_batch(run, params=batch)


def _log_metrics(batch: list[Any], client: Any, run: str) -> None:
    client.log_batch(run, metrics=batch)


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as the ending of ``path`` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=FIGURE_DPI, bbox_inches="tight")


def open_recorder(config: TrackingConfig, work: Path, lock: Path | None = None) -> Recorder:
    """The store that the configuration names.

    ``sqlite`` is a database in the working folder unless MLFLOW_TRACKING_URI is set; ``server``
    takes ``tracking.uri`` or that variable; ``none`` records nothing whatever the environment.
    With the job's ``lock`` given, runs of jobs that no longer live are ended as KILLED.
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
    with _quiet(), FileLock(work / ".mlflow.lock"):  # parallel first use of a new database races
        from mlflow import MlflowClient

        recorder.client = True  # so that attempt() works while the client is being made
        recorder.client = recorder.attempt(lambda _: MlflowClient(uri))
        recorder.experiment = (
            recorder.attempt(lambda c: _experiment(c, config.experiment, artifacts)) or ""
        )
        if lock is not None:
            recorder.close_dead_runs()
    return recorder


def downloaded(uri: str) -> Path:
    """Local copy of an artifact or model (``runs:/…``, ``models:/…``) of the store in use.

    That is the one of MLFLOW_TRACKING_URI, or what ``mlflow.set_tracking_uri`` chose.
    """
    from mlflow.artifacts import download_artifacts

    try:
        return Path(download_artifacts(artifact_uri=uri))
    except Exception as error:  # whatever a store may raise
        reason = str(error).strip().splitlines()[:1] or [repr(error)]
        raise InputError(f"{uri}: MLflow has no such artifact ({reason[0]}).") from error


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found:
        return str(found.experiment_id)
    tags = {"mlflow.experimentKind": "custom_model_development"}  # the view for training runs
    return str(client.create_experiment(name, artifacts, tags))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the store's own start-up messages off the terminal; errors are raised, not printed."""
    import logging

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # also of every retry at a server that is not there
    try:
        yield
    finally:
        logging.disable(level)


def flattened(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level of dotted keys."""
    if isinstance(value, Mapping) and value:
        return {k: v for n, w in value.items() for k, v in flattened(w, f"{prefix}{n}.").items()}
    return {prefix.rstrip("."): value}
