"""Runs the jobs of a sweep: one that fails is marked, and the others run all the same."""

import sys
import time
import traceback
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from qnal.errors import QnalError
from qnal.job import SUMMARY, checked, run
from qnal.progress import say
from qnal.summary import Summary
from qnal.sweep.apart import prepare_worker, run_apart
from qnal.sweep.place import Place
from qnal.sweep.table import NO_SUMMARY, summary_of


def run_in_sweep(raw: DictConfig, folder: Path, place: Place, apart: bool) -> None:
    """Run a job of a sweep and report its status in a line; raises nothing.

    Args:
        raw: the composed configuration.
        folder: the job's run folder.
        place: the job's place in the sweep.
        apart: whether the job runs in a process of its own.
    """
    prepare_worker()
    (folder / SUMMARY).unlink(missing_ok=True)  # of an earlier sweep in the same folder
    say(f"job {place.number}: {place.label}")
    start = time.monotonic()
    if apart and _is_usable(raw):
        settings = OmegaConf.to_container(raw, resolve=True)
        run_apart(run_job, settings, folder, place)
    else:
        run_job(raw, folder, place)
    if not (folder / SUMMARY).exists():
        Summary(str(raw.get("stage")), status="failed", error=NO_SUMMARY).write(folder / SUMMARY)
    say(f"job {place.number}: {summary_of(folder).status} ({time.monotonic() - start:.0f} s)")


def run_job(raw: object, folder: Path, place: Place) -> None:
    """Run a job; bugs are printed with a traceback and are to be seen in its summary."""
    try:
        run(OmegaConf.create(raw), folder, place)  # type: ignore[call-overload]
    except Exception:
        print(f"job {place.number} ({place.label}):", file=sys.stderr)
        traceback.print_exc()


def _is_usable(raw: DictConfig) -> bool:
    """Whether the configuration is valid; it is refused at once if not."""
    try:
        checked(raw)
    except QnalError:
        return False
    return True
