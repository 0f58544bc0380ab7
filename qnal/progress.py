"""Progress bars and messages on standard error; bars are shown only on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True)
Advance = Callable[..., None]


@contextmanager
def progress(description: str, total: float) -> Iterator[Advance]:
    """Show a bar of ``total`` steps; yields ``advance(steps=1, note=None)``."""
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
    """Print a message to standard error."""
    console.print(message, highlight=False, markup=False, soft_wrap=True)
