"""Training a member as a unit of work: what an executor is given, wherever it computes."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.member import MemberRecipe, MemberTrainer
from qnal.spectra.labelled import LabelledSet

# The trainer of a process works on one member at a time, also where threads are the executor.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class MemberWork:
    """Trains members by their number; a process reads the labelled set once, and compiles once.

    Attributes:
        recipe: what a member is made from.
        labelled: folder of the labelled set, see :meth:`LabelledSet.write`.
        folder: the ensemble.
    """

    recipe: MemberRecipe
    labelled: Path
    folder: EnsembleFolder

    def __call__(self, member: int) -> dict[str, Any]:
        """Train a member unless it is there; returns its record.

        Raises:
            DivergedError: no attempt gave a finite loss.
        """

        def on_epoch(done: int, total: int, loss: float) -> None:
            self.folder.note_progress(member, done, total, loss)

        with _ONE_AT_A_TIME:
            try:
                return _trainer(self).train(member, on_epoch)
            finally:
                self.folder.progress_file(member).unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _trainer(work: MemberWork) -> MemberTrainer:
    return MemberTrainer(work.recipe, LabelledSet.read(work.labelled), work.folder)
