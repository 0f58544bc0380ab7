"""Task "train members", and its run over the missing members of an ensemble by any executor."""

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.member_record import MemberRecord
from qnal.ensemble.member_trainer import DivergedError, MemberTrainer, Outcomes, groups
from qnal.ensemble.prior_knowledge import PriorKnowledge
from qnal.ensemble.recipe import MemberRecipe
from qnal.errors import InputError
from qnal.executors.tasks import LostError, MakeExecutor, completed

# The trainer of a process works on one group at a time, also with a thread pool as the executor.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class TrainTask:
    """Trains members by their numbers; can be pickled and called in a worker process.

    A process reads the labelled set and compiles the training step once.

    Attributes:
        recipe: settings of the members.
        labelled: folder of the labelled set, see :meth:`LabelledSet.write`.
        folder: the ensemble.
        knowledge: what training uses beside the labelled set.
    """

    recipe: MemberRecipe
    labelled: Path
    folder: EnsembleFolder
    knowledge: PriorKnowledge = field(default_factory=PriorKnowledge)

    def __call__(self, members: tuple[int, ...]) -> Outcomes:
        """Train the members of one group; see :meth:`MemberTrainer.train`."""
        with _ONE_AT_A_TIME:
            return _trainer(self).train(members)


def train_members(
    task: TrainTask,
    members: Sequence[int],
    executor: MakeExecutor,
    on_member: Callable[[MemberRecord], None] = lambda record: None,
    on_failure: Callable[[int, str], None] = lambda member, reason: None,
) -> None:
    """Train members that are not in the ensemble's folder yet.

    Args:
        task: the ensemble, its labelled set and the recipe.
        members: numbers of the members.
        executor: makes the executor that runs the task.
        on_member: called in this process for each member as soon as it is trained.
        on_failure: called with the number and the reason, one sentence, for each member that
            diverged or whose workers died.

    Raises:
        InputError: no member could be trained, and the ensemble has none.
        ConfigError: the executor cannot be started.
    """
    failures = []

    def failed(member: int, reason: str) -> None:
        failures.append(reason)
        on_failure(member, reason)

    units = groups(members, task.recipe.group)
    with closing(completed(executor, task, units)) as results:
        for unit, outcome in results:
            if isinstance(outcome, LostError):
                for k in unit:
                    failed(k, f"member {k}: {outcome}")
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                for k, record in outcome.items():
                    if isinstance(record, DivergedError):
                        failed(k, str(record))
                    else:
                        on_member(record)
    if members and not task.folder.records():
        raise InputError("no member could be trained: " + "; ".join(failures))


@lru_cache(maxsize=1)
def _trainer(task: TrainTask) -> MemberTrainer:
    labelled = LabelledSet.read(task.labelled)
    return MemberTrainer(task.recipe, labelled, task.folder, task.knowledge)
