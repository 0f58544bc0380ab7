"""Runs one task per unit of work on any :class:`concurrent.futures.Executor`.

A unit is a member's number or an input file. The task is a small frozen dataclass that is pickled,
sent to a worker and called with a unit. Large objects, such as networks, are not part of it: each
process makes them once and caches them with the dataclass as key.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from itertools import islice
from typing import Generic, TypeVar

from qnal.errors import ConfigError, QnalError
from qnal.executors.local import LocalProcesses, Serial

Unit = TypeVar("Unit")
Result = TypeVar("Result")
MakeExecutor = Callable[[], Executor]

LOSSES = 3  # a unit is given up after this many dead workers
ALONE = 2  # a unit is run alone after this many dead workers
IN_FLIGHT = 1000  # units submitted to an executor that does not tell its number of workers


class LostError(QnalError):
    """The workers that ran a unit died repeatedly."""


def completed(
    executor: MakeExecutor, work: Callable[[Unit], Result], units: Sequence[Unit]
) -> Generator[tuple[Unit, Result | Exception], None, None]:
    """Run ``work`` on all units, and yield each unit when it is finished, in any order.

    The number of submitted units is limited. If a worker dies, all units that were submitted are
    run again on a new executor. A unit that was submitted when two workers died is run alone, to
    find out whether it is the cause, and given up if that worker dies too.

    Close the generator (``contextlib.closing``) if the loop over it may end early: that ends the
    workers.

    Args:
        executor: makes an executor; called again after a worker died.
        work: called with each unit.
        units: hashable and picklable.

    Yields:
        A unit and what ``work`` returned or raised, or :class:`LostError` if it was given up.

    Raises:
        ConfigError: the executor cannot be made.
    """
    if not units:
        return
    tasks = _Tasks(executor, work, units)
    try:
        while tasks.submit():
            yield from tasks.finished()
            tasks.replace_broken_executor()
        tasks.executor.shutdown()
    finally:
        tasks.executor.shutdown(wait=False, cancel_futures=True)


def made(executor: MakeExecutor) -> Executor:
    """Make an executor.

    Raises:
        ConfigError: it cannot be made with the arguments given.
    """
    try:
        pool = executor()
    except QnalError:
        raise
    except Exception as error:  # other libraries raise anything
        reason = " ".join(str(error).split()) or repr(error)
        raise ConfigError(f"executor: cannot be started ({reason.rstrip('.')}).") from error
    if not isinstance(pool, Executor):
        raise ConfigError(
            f"executor: {type(pool).__name__} is not a concurrent.futures.Executor; set "
            "executor._target_ to the full name of one."
        )
    return pool


class _Tasks(Generic[Unit, Result]):
    """The state of :func:`completed`.

    Attributes:
        executor: the current executor.
        broken: whether a worker of it has died, so that it accepts no more units.
        running: submitted units by their futures.
        waiting: units to submit next, among them those whose worker died.
        rest: units that were not taken up yet.
        losses: number of dead workers per unit.
    """

    def __init__(
        self, make: MakeExecutor, work: Callable[[Unit], Result], units: Sequence[Unit]
    ) -> None:
        self.make, self.work = make, work
        self.executor = made(make)
        if len(units) == 1 and isinstance(self.executor, LocalProcesses):
            self.executor = Serial()  # saves the time that a process takes to start
        self.broken = False
        self.running: dict[Future[Result], Unit] = {}
        self.waiting: deque[Unit] = deque()
        self.rest = iter(units)
        self.losses: Counter[Unit] = Counter()

    def submit(self) -> bool:
        """Submit units while there is room; returns whether any is running."""
        while not self.broken:
            self.waiting.extend(islice(self.rest, 0 if self.waiting else 1))
            if not self.waiting or not self._has_room_for(self.waiting[0]):
                break
            unit = self.waiting.popleft()
            future = self._submitted(unit)
            self.running[future] = unit
            if future.done():  # the executor runs units in this process
                break
        return bool(self.running)

    def finished(self) -> Iterator[tuple[Unit, Result | Exception]]:
        """Wait for at least one unit; yields those that are finished or given up."""
        done, _ = wait(self.running, return_when=FIRST_COMPLETED)
        for future in done:
            unit = self.running.pop(future)
            if _worker_died(future):
                self.broken = True
                self.losses[unit] += 1
                if self.losses[unit] < LOSSES:
                    self.waiting.append(unit)
                else:
                    yield (
                        unit,
                        LostError(
                            f"its worker died {LOSSES} times, the last time with no other unit "
                            "running; was it killed, or out of memory?"
                        ),
                    )
            elif isinstance(error := future.exception(), Exception):
                yield unit, error
            else:
                yield unit, future.result()

    def replace_broken_executor(self) -> None:
        """Make a new executor once all units of a broken one have ended."""
        if self.broken and not self.running:
            self.executor.shutdown(wait=False)
            self.executor, self.broken = made(self.make), False

    def _submitted(self, unit: Unit) -> Future[Result]:
        try:
            return self.executor.submit(self.work, unit)
        except BrokenExecutor as error:
            future: Future[Result] = Future()
            future.set_exception(error)
            return future

    def _has_room_for(self, unit: Unit) -> bool:
        if not self.running:
            return True
        if self.losses and any(self.losses[u] >= ALONE for u in (unit, *self.running.values())):
            return False
        # The name of this attribute in Python's own executors.
        workers = getattr(self.executor, "_max_workers", None)
        return len(self.running) < (2 * workers if workers else IN_FLIGHT)


def _worker_died(future: Future[Result]) -> bool:
    return future.cancelled() or isinstance(future.exception(), BrokenExecutor)
