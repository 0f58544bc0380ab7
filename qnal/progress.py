"""Progress of long work with the time left: live on a terminal, silent in a log file."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True)
Advance = Callable[..., None]


@contextmanager
def progress(description: str, total: float) -> Iterator[Advance]:
    """Yield ``advance(steps=1, note="")`` for a bar of ``total`` steps."""
    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}", style="dim"),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task(description, total=total, note="")

        def advance(steps: float = 1, note: str | None = None) -> None:
            if note is None:
                bar.update(task, advance=steps)
            else:
                bar.update(task, advance=steps, note=note)

        yield advance


def say(message: str) -> None:
    """A line for people, on standard error."""
    console.print(message, highlight=False, markup=False, soft_wrap=True)
