"""A task for the tests of executors, in a module that workers can import."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Squares:
    """Squares numbers, raises for 13, and kills its worker for ``deadly``, ``deaths`` times."""

    folder: Path
    deadly: int = -1
    deaths: int = 0

    def __call__(self, unit: int) -> int:
        with (self.folder / str(unit)).open("a") as log:
            log.write(f"{os.getpid()}\n")
        if unit == 13:
            raise ValueError("thirteen")
        if unit == self.deadly and self.times(unit) <= self.deaths:
            time.sleep(0.3)  # until other units run
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return unit**2

    def times(self, unit: int) -> int:
        return len((self.folder / str(unit)).read_text().split())

    def pids(self) -> set[int]:
        return {int(pid) for file in self.folder.iterdir() for pid in file.read_text().split()}
