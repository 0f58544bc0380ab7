"""Score the files of a pool that are not scored yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from qnal.errors import InputError, QnalError
from qnal.executors.tasks import LostError, MakeExecutor, completed
from qnal.files import remove_scratch
from qnal.inference.input_file import UnreadableError
from qnal.inference.prediction_cache import PredictionCache
from qnal.inference.score_task import ScoreTask
from qnal.inference.scored_file import FileToScore, Outcome
from qnal.scores.file_index import IndexEntry, VoteCounts
from qnal.spectra.spectra_file import SpectraFile


@dataclass
class PoolOutcome:
    """What was done, and what is known of the pool now.

    Attributes:
        entries: of all parts, by the name of the file.
        before: the same when the job began.
        read: number of files whose spectra were read.
        forward_passes: computed, of one spectrum and member each.
        failed: a sentence for each file that failed.
    """

    entries: dict[str, IndexEntry]
    before: dict[str, IndexEntry] = field(default_factory=dict)
    read: int = 0
    forward_passes: int = 0
    failed: dict[SpectraFile, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """What failed, in the order of the files' names."""
        return [self.failed[file] for file in sorted(self.failed)]

    def counts(self) -> VoteCounts:
        """Votes in all parts."""
        each = [entry.counts for entry in self.entries.values()]
        return VoteCounts(
            sum(c.votes for c in each),
            sum(c.rechecked for c in each),
            sum(c.uncertain for c in each),
        )


@dataclass(frozen=True)
class Callbacks:
    """How a job reports.

    Attributes:
        found: called once with the numbers of files that are to be scored, and of all files.
        advance: called with a file that is finished or has failed.
    """

    found: Callable[[int, int], None] = lambda todo, files: None
    advance: Callable[[SpectraFile], None] = lambda file: None


def score_pool(
    task: ScoreTask,
    files: Sequence[SpectraFile],
    executor: MakeExecutor,
    *,
    whole: bool = True,
    strict: bool = False,
    callbacks: Callbacks | None = None,
) -> PoolOutcome:
    """Score what is not scored yet; the outputs must be locked (:func:`locked`).

    Args:
        task: scores one file.
        files: of the pool, in the order in which they are scored.
        executor: makes what runs the task.
        whole: whether these are all files of the pool, so that others are forgotten.
        strict: raise the error of the first file that fails.
        callbacks: called along the way.

    Raises:
        InputError: a file failed and ``strict`` is true, or all files failed.
    """
    report = callbacks or Callbacks()
    scores, cache = task.outputs.scores, task.outputs.predictions
    index, cached = scores.read_index(), cache.read_index() if cache else {}
    if whole:
        scores.forget_all_but(files)
    known = {f.name: scores.entry(f, index.get(f.name)) for f in files}
    if not whole:
        known = {**index, **known}
    there = {name: entry for name, entry in known.items() if entry is not None}
    outcome = PoolOutcome(there, index)
    todo = [
        FileToScore(f, known[f.name], cached[f.name].version if f.name in cached else None)
        for f in files
        if not task.is_done(f, known[f.name])
    ]
    report.found(len(todo), len(files))

    def save() -> None:
        if outcome.entries != index:
            scores.write_index(outcome.entries)
        if cache is not None:
            _update_cache_index(cache, cached, outcome.entries, files if whole else None)

    try:
        _run(task, todo, executor, strict, report, outcome)
    except BaseException:
        with suppress(QnalError, OSError):  # a full disk, for instance, has been reported already
            save()
        raise
    save()
    if todo:
        remove_scratch(scores.path)
        if cache is not None:
            cache.remove_scratch()
    if outcome.failed and len(outcome.failed) == len(files):
        first = outcome.sentences()[0]
        raise InputError(f"none of {len(files)} files could be scored; the first: {first}")
    return outcome


def _run(
    task: ScoreTask,
    todo: Sequence[FileToScore],
    executor: MakeExecutor,
    strict: bool,
    report: Callbacks,
    outcome: PoolOutcome,
) -> None:
    with closing(completed(executor, task, todo)) as results:
        for known, result in results:
            file = known.file
            if isinstance(result, Outcome):
                outcome.entries[file.name] = result.entry
                outcome.read += result.read
                outcome.forward_passes += result.forward_passes
            elif isinstance(result, InputError | LostError) and not strict:
                if isinstance(result, UnreadableError):
                    # What was made from it belongs to a file that is no longer there.
                    task.outputs.scores.forget(file)
                    outcome.entries.pop(file.name, None)
                named = isinstance(result, InputError)
                outcome.failed[file] = str(result) if named else f"{file.path}: {result}"
            else:
                raise result
            report.advance(file)


def _update_cache_index(
    cache: PredictionCache,
    before: Mapping[str, IndexEntry],
    entries: Mapping[str, IndexEntry],
    pool: Sequence[SpectraFile] | None,
) -> None:
    """Write which spectra the files of the pool hold, and forget those that are gone.

    Args:
        cache: the prediction cache.
        before: the index as it was.
        entries: of the parts.
        pool: its files; None: there may be others.
    """
    now = {name: IndexEntry(entry.version) for name, entry in entries.items()}
    names = None if pool is None else {file.name for file in pool}
    stay = {name: e for name, e in before.items() if names is None or name in names}
    after = {**stay, **now}
    if after != before:
        cache.write_index(after)
        held = {entry.version.spectra for entry in after.values()}
        cache.forget({entry.version.spectra for entry in before.values()} - held)


@contextmanager
def locked(task: ScoreTask, waiting: Callable[[Path], None]) -> Iterator[None]:
    """Lock the dataset and the pool's part of the cache; one job at a time writes to them.

    Args:
        task: whose outputs are locked.
        waiting: called with a folder that another job is writing, before waiting for it.
    """
    cache, scores = task.outputs.predictions, task.outputs.scores
    paths = [*([cache.lock] if cache else []), scores.path / ".lock"]  # always in this order
    held: list[FileLock] = []
    try:
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waiting(path.parent)
                lock.acquire()
            held.append(lock)
        yield
    finally:
        for lock in held:
            lock.release()
