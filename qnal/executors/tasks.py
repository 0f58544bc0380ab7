"""Where units of work are computed: here, in processes of this machine, or wherever else.

Any :class:`concurrent.futures.Executor` will do; :func:`completed` asks nothing more of it. What
goes to it is a unit (a member's number, a file's name) and the work to be done on it: a small
frozen dataclass that can be pickled and called. What is large, or takes long to make, is made once
a process by a cache whose key is that dataclass.
"""

from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from itertools import islice
from typing import TypeVar

from qnal.errors import ConfigError, QnalError
from qnal.executors.local import LocalProcesses, Serial

Unit = TypeVar("Unit")
Result = TypeVar("Result")
MakeExecutor = Callable[[], Executor]

LOSSES = 3  # lost workers after which a unit is given up
ALONE = 2  # lost workers after which it is tried once more with nothing beside it
IN_FLIGHT = 1000  # units, where an executor does not say how many workers it has


class LostError(QnalError):
    """The workers that computed a unit died, again and again."""


def completed(
    executor: MakeExecutor, work: Callable[[Unit], Result], units: Sequence[Unit]
) -> Generator[tuple[Unit, Result | Exception], None, None]:
    """Do the work on all units; yields each one as it is finished, in no particular order.

    A bounded number of units is under way at a time. If a worker dies, all that was under way is
    done again on a fresh executor. A unit that was there at two such deaths is then tried alone,
    so that no other is blamed for it, and given up after the third.

    Close the generator (``contextlib.closing``) where the loop over it may be left early: that
    ends the workers.

    Args:
        executor: makes an executor; called again after one has broken.
        work: what is called with each unit, wherever the executor has it called.
        units: hashable and picklable.

    Yields:
        A unit with what ``work`` returned or raised; with :class:`LostError` if it was given up.

    Raises:
        ConfigError: the executor cannot be made.
    """
    rest, again = iter(units), deque[Unit]()
    losses: Counter[Unit] = Counter()
    running: dict[Future[Result], Unit] = {}
    if not units:
        return
    pool = made(executor)
    if len(units) == 1 and isinstance(pool, LocalProcesses):
        pool = Serial()  # another process would only cost the time to start it
    broken = False
    try:
        while True:
            while not broken:
                again.extend(islice(rest, 0 if again else 1))
                if not again or not _has_room(pool, again[0], running, losses):
                    break
                unit = again.popleft()
                future = _submitted(pool, work, unit)
                running[future] = unit
                if future.done():  # an executor that works in this very process
                    break
            if not running and not broken:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                unit = running.pop(future)
                try:
                    result: Result | Exception = future.result()
                except (BrokenExecutor, CancelledError):
                    broken = True
                    losses[unit] += 1
                    if losses[unit] < LOSSES:
                        again.append(unit)
                        continue
                    result = LostError(
                        f"its worker died {LOSSES} times, the last time with nothing beside it; "
                        "was it killed, or out of memory?"
                    )
                except Exception as error:
                    result = error
                yield unit, result
            if broken and not running:  # nothing that could still be finished
                pool.shutdown(wait=False)
                pool, broken = made(executor), False
        pool.shutdown()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def made(executor: MakeExecutor) -> Executor:
    """A fresh executor.

    Raises:
        ConfigError: it cannot be made of the arguments given.
    """
    try:
        pool = executor()
    except QnalError:
        raise
    except Exception as error:  # whatever an executor of another library may raise
        reason = " ".join(str(error).split()) or repr(error)
        raise ConfigError(f"executor: it cannot be started ({reason.rstrip('.')}).") from error
    if not isinstance(pool, Executor):
        raise ConfigError(
            f"executor: {type(pool).__name__} is no concurrent.futures.Executor; give the name "
            "of one as executor._target_."
        )
    return pool


def _submitted(pool: Executor, work: Callable[[Unit], Result], unit: Unit) -> Future[Result]:
    try:
        return pool.submit(work, unit)
    except BrokenExecutor as error:
        future: Future[Result] = Future()
        future.set_exception(error)
        return future


def _has_room(
    pool: Executor, unit: Unit, running: dict[Future[Result], Unit], losses: Counter[Unit]
) -> bool:
    """Whether one more unit may be under way; one that is suspected of murder is kept alone."""
    if not running:
        return True
    if losses and any(losses[u] >= ALONE for u in (unit, *running.values())):
        return False
    workers = getattr(pool, "_max_workers", None)  # what Python's own pools call it
    return len(running) < (2 * workers if workers else IN_FLIGHT)
