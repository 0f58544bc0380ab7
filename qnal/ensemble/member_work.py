"""Training members as a unit of work: what an executor is given, wherever it computes."""

import threading
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.member import DivergedError, MemberRecipe, MemberTrainer
from qnal.spectra.labelled import LabelledSet

# What became of each member.
Records = dict[int, dict[str, Any] | DivergedError]

# The trainer of a process works on one member at a time, also where threads are the executor.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class MemberWork:
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
                return {k: self._trained(k) for k in members}
            finally:
                for member in members:
                    self.folder.progress_file(member).unlink(missing_ok=True)

    def _trained(self, member: int) -> dict[str, Any] | DivergedError:
        try:
            return _trainer(self).train(member, partial(self.folder.note_progress, member))
        except DivergedError as error:
            return error


@lru_cache(maxsize=1)
def _trainer(work: MemberWork) -> MemberTrainer:
    return MemberTrainer(work.recipe, LabelledSet.read(work.labelled), work.folder)
