"""Training members as a unit of work: what an executor is given, wherever it computes."""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.member_trainer import MemberRecipe, MemberTrainer, Records

# The trainer of a process works on one member at a time, also where threads are the executor.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class TrainTask:
    """Trains members by their numbers; a process reads the labelled set once, and compiles once.

    Attributes:
        recipe: what a member is made from.
        labelled: folder of the labelled set, see :meth:`LabelledSet.write`.
        folder: the ensemble.
    """

    recipe: MemberRecipe
    labelled: Path
    folder: EnsembleFolder

    def __call__(self, members: tuple[int, ...]) -> Records:
        """Train members unless they are there; returns the record of each, or why it has none."""
        with _ONE_AT_A_TIME:
            try:
                return _trainer(self).train_group(members, self.folder.note_progress)
            finally:
                for member in members:
                    self.folder.progress_file(member).unlink(missing_ok=True)


@lru_cache(maxsize=1)
def _trainer(work: TrainTask) -> MemberTrainer:
    return MemberTrainer(work.recipe, LabelledSet.read(work.labelled), work.folder)
