"""One job: checks a composed configuration, runs its stage and writes ``summary.json``."""

import sys
import traceback
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from qnal.errors import ConfigError, QnalError

if TYPE_CHECKING:
    from qnal.config.schema import Config
    from qnal.summary import Summary
    from qnal.sweep.place import Place

DONE, REFUSED, INCOMPLETE = 0, 1, 3
EXIT_CODES = {"done": DONE, "refused": REFUSED, "incomplete": INCOMPLETE}
SUMMARY = "summary.json"


def run(raw: DictConfig, folder: Path, place: "Place | None" = None) -> int:
    """Run a job as the command does: errors are printed, and so is the summary.

    Args:
        raw: the composed configuration.
        folder: the job's run folder.
        place: the job's place in a sweep, whose table replaces the jobs' own.

    Returns:
        The exit code: 0 done, 1 refused, 3 done but incomplete.
    """
    try:
        summary = perform(raw, folder, place)
    except (QnalError, OSError) as error:
        if not is_refusal(error):
            raise
        if raw.get("traceback") is True:
            traceback.print_exc()
        refuse(error, place)
        return REFUSED
    summary.paths["summary"] = str(folder / SUMMARY)
    if place is None:
        summary.show()
    return EXIT_CODES[summary.status]


def perform(raw: DictConfig, folder: Path, place: "Place | None" = None) -> "Summary":
    """Run a job and write ``summary.json`` into its folder, whether it succeeds or not.

    Args:
        raw: the composed configuration.
        folder: the job's run folder.
        place: the job's place in a sweep, if it is part of one.

    Raises:
        QnalError: the configuration or an input is refused.
        OSError: a file cannot be read or written.
    """
    from qnal.summary import Summary

    try:
        summary = _run_stage(checked(raw), folder, place)
    except Exception as error:
        status = "refused" if is_refusal(error) else "failed"
        summary = Summary(str(raw.get("stage")), status=status, error=sentence(error))
        _write(summary, folder)
        raise
    _write(summary, folder)
    return summary


def checked(raw: DictConfig) -> "Config":
    """The typed configuration of a job, for which also the executor's settings are checked.

    Raises:
        ConfigError: no stage is set, a key is unknown or a value cannot be used.
    """
    from qnal.config.schema import Stage
    from qnal.config.validation import validated

    config = validated(raw)
    if config.stage is None:
        raise ConfigError(f"stage is not set; choose one of {', '.join(Stage)}.")
    _executor(config.executor)
    return config


def is_refusal(error: BaseException) -> bool:
    """Whether an error was caused by the input or the configuration, as opposed to a bug."""
    is_about_a_file = isinstance(error, OSError) and error.filename is not None
    return isinstance(error, QnalError) or is_about_a_file


def sentence(error: BaseException) -> str:
    """What an error says, in one sentence."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error) if isinstance(error, QnalError) else f"{type(error).__name__}: {error}"


def refuse(error: BaseException, place: "Place | None" = None) -> None:
    """Print why a job is refused."""
    where = "" if place is None else f"job {place.number} ({place.label}): "
    print(f"error: {where}{sentence(error)}", file=sys.stderr)


def _run_stage(config: "Config", folder: Path, place: "Place | None") -> "Summary":
    from qnal.job_lock import hold
    from qnal.stages import Job, stage_function
    from qnal.tracking import open_recorder
    from qnal.tracking.sweep import joined

    assert config.stage is not None  # noqa: S101 (checked above)
    with hold(config.work / ".jobs") as lock:
        recorder = open_recorder(config.tracking, config.work, lock)
        parent = None
        if place is not None:
            recorder, parent = joined(
                recorder, place.sweep, place.name or place.label, place.lock, place.title
            )
        executor = _executor(config.executor)
        job = Job(folder, recorder, executor, parent, _overrides(folder))
        summary = stage_function(config.stage)(config, job)
    if recorder.failure is not None:
        summary.notes.append(recorder.failure)
    elif command := recorder.how_to_look():
        summary.notes.append(f"results: {command}")
    if config.objective and objective(summary, config.objective) is None:
        summary.notes.append(_no_objective(summary, config.objective))
    return summary


def _overrides(folder: Path) -> tuple[str, ...]:
    """What the user set on the command line, as Hydra records it in the run folder."""
    recorded = folder / "hydra" / "overrides.yaml"
    return tuple(as_given(OmegaConf.load(recorded))) if recorded.exists() else ()


def as_given(overrides: Any) -> list[str]:
    """Overrides that Hydra has recorded, such as ``work_dir=${hydra:job.num}``, unresolved."""
    listed: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(override) for override in listed]


def objective(summary: "Summary", name: str) -> float | None:
    """The metric ``name`` of a summary, or its negative for ``-name``; None if it has none."""
    value = summary.metrics.get(name.lstrip("+-"))
    if value is None:
        return None
    return -float(value) if name.startswith("-") else float(value)


def _no_objective(summary: "Summary", name: str) -> str:
    from qnal.config.plugin import nearest

    close = nearest(name.lstrip("+-"), summary.metrics)
    hint = f"; did you mean {close}?" if close else "."
    return f"objective={name}: stage={summary.stage} has no such metric{hint}"


def _executor(settings: dict[str, Any]) -> Callable[[int], Executor]:
    """A function that makes the configured executor, given the number of threads per task."""
    from hydra.errors import HydraException
    from hydra.utils import instantiate

    from qnal.config.plugin import check_settings

    target = settings["_target_"]
    try:
        make = instantiate(settings, _partial_=True)
    except HydraException as error:
        raise ConfigError(
            f"executor._target_={target} cannot be imported; it takes the full name of a "
            "concurrent.futures.Executor, or choose one by executor=local, serial, threads, dask "
            "or slurm."
        ) from error
    check_settings(make.func, settings, "executor")
    # Executors of other packages have no argument for the threads of a task.
    takes_threads = target.startswith("qnal.")
    return lambda threads: make(threads=threads) if takes_threads else make()


def _write(summary: "Summary", folder: Path) -> None:
    try:
        summary.write(folder / SUMMARY)
    except OSError as error:
        raise QnalError(f"{folder}: the summary cannot be written ({error.strerror}).") from error
