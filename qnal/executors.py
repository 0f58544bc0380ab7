"""Where units of work are computed."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")
MakeExecutor = Callable[[], Executor]

IN_FLIGHT = 4  # units under way at a time


def completed(
    executor: MakeExecutor, work: Callable[[Unit], Result], units: Sequence[Unit]
) -> Generator[tuple[Unit, Result | Exception], None, None]:
    """Do the work on all units; yields each one with its result, or with what it raised."""
    rest = iter(units)
    running: dict[Future[Result], Unit] = {}
    with executor() as pool:
        try:
            while True:
                for unit in islice(rest, IN_FLIGHT - len(running)):
                    running[pool.submit(work, unit)] = unit
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    unit = running.pop(future)
                    try:
                        result: Result | Exception = future.result()
                    except Exception as error:
                        result = error
                    yield unit, result
        finally:
            pool.shutdown(cancel_futures=True)
